"""The relay's settings, read from its environment; every mistake is said at once."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rtppool_core.logs import FORMATS, LEVELS
from rtppool_core.pool_config import FILE_NAME, MOUNT_PATH, EchoTarget
from rtppool_core.ports import HIGHEST_PORT, PortRange
from rtppool_core.settings import Environment

TRUE_OR_FALSE = ("true", "false")
DEFAULT_ARI_URL = "http://127.0.0.1:8088/ari"
EXPEDITED_FORWARDING = 46  # RFC 3246
HIGHEST_DSCP = 63
MOST_MEDIA_WORKERS = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. `node_ip` is the address told to Asterisk where neither pool nor ADVERTISE_IP names one."""

    port_range: PortRange
    echo: EchoTarget
    bind_ip: str
    advertise_ip: str
    node_ip: str
    node_name: str
    ari_url: str
    ari_user: str
    ari_password: str = field(repr=False)
    application: str
    dscp: int
    http_bind: str
    http_port: int
    http_token_file: Path | None
    pool_config: Path
    media_workers: int
    metrics_interval_seconds: float
    drain_grace_seconds: float
    log_level: str
    log_format: str


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: with a sentence for each setting that can't be used.
    """
    env = Environment(variables)
    token_file = env.text("HTTP_TOKEN_FILE")
    settings = Settings(
        port_range=env.port_range("PORT_RANGE", "10000-10100"),
        echo=_echo(env),
        bind_ip=env.address("BIND_IP", "0.0.0.0"),
        advertise_ip=env.usable_address("ADVERTISE_IP"),
        node_ip=env.usable_address("NODE_IP"),
        node_name=env.text("NODE_NAME", socket.gethostname()),
        ari_url=env.text("ARI_URL", DEFAULT_ARI_URL),
        ari_user=env.text("ARI_USER"),
        ari_password=env.secret("ARI_PASS"),
        application=env.text("APP_NAME", "rtp-pool"),
        dscp=env.integer("DSCP", EXPEDITED_FORWARDING, 0, HIGHEST_DSCP),
        http_bind=env.address("HTTP_BIND", "0.0.0.0"),
        http_port=env.integer("HTTP_PORT", 9090, 1, HIGHEST_PORT),
        http_token_file=Path(token_file) if token_file else None,
        pool_config=Path(env.text("POOL_CONFIG", f"{MOUNT_PATH}/{FILE_NAME}")),
        media_workers=env.integer("MEDIA_WORKERS", 1, 1, MOST_MEDIA_WORKERS),
        metrics_interval_seconds=env.seconds("METRICS_INTERVAL_SEC", 1, 0.2, 10),
        drain_grace_seconds=env.seconds("DRAIN_GRACE_SEC", 3600, 0, 86_400),
        log_level=env.choice("LOG_LEVEL", "INFO", LEVELS),
        log_format=env.choice("LOG_FORMAT", "text", FORMATS),
    )
    _check_together(env, settings)
    env.finish()
    return settings


def _echo(env: Environment) -> EchoTarget:
    return EchoTarget(
        host=env.text("ECHO_HOST", "127.0.0.1"),
        port=env.integer("ECHO_PORT", 4000, 1, HIGHEST_PORT),
        extension=env.choice("ECHO_EXTENSION", "false", TRUE_OR_FALSE) == "true",
    )


def _check_together(env: Environment, settings: Settings) -> None:
    if settings.echo.port in settings.port_range:
        env.problem(
            f"ECHO_PORT={settings.echo.port}: lies inside PORT_RANGE={settings.port_range}; "
            "accepted is a port outside the range, or packets would circle"
        )
    url = urlsplit(settings.ari_url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        env.problem(f"ARI_URL={_without_credentials(settings.ari_url)}: accepted is http://HOST:8088/ari or https://…")
    elif url.username or url.password:
        env.problem(
            f"ARI_URL={_without_credentials(settings.ari_url)}: holds credentials; accepted is a URL without them, "
            "set ARI_USER and ARI_PASS or ARI_PASS_FILE"
        )
    if settings.ari_user and not settings.ari_password:
        env.problem(f"ARI_USER={settings.ari_user}: has no password; set ARI_PASS or ARI_PASS_FILE as well")


def _without_credentials(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url
