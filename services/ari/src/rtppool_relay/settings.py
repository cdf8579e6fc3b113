"""The relay's settings, read from its environment. All errors are reported together."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from rtppool_core.contract.pools_file import FILE_NAME, MOUNT_PATH, EchoTarget
from rtppool_core.contract.port_range import MAX_PORT, PortRange
from rtppool_core.net.hosts import host_problem, shown_host
from rtppool_core.net.listeners import any_address
from rtppool_core.net.tls_files import ServerCertificate
from rtppool_core.process.logs import FORMATS, LEVELS
from rtppool_core.process.settings import NODE_ADDRESS, Environment
from rtppool_relay.ari.application_name import MAX_NAME, application_of_node, is_application_name
from rtppool_relay.ari.credentials import credentials_problem
from rtppool_relay.ari.tls import CaFileError, tls_context
from rtppool_relay.caller_numbers import FORMS as CALLER_FORMS
from rtppool_relay.caller_numbers import MIN_KEY_BYTES, CallerNumbers

OnStop = Literal["drain", "handover"]
ON_STOP: tuple[OnStop, ...] = ("drain", "handover")
TRUE_OR_FALSE = ("true", "false")
ON_OR_OFF = ("on", "off")
DEFAULT_ARI_URL = "http://127.0.0.1:8088/ari"
EXPEDITED_FORWARDING = 46  # RFC 3246
MAX_DSCP = 63
MAX_TURN_NAME_BYTES = 107  # sun_path of unix(7), less the first byte of an abstract name
MAX_MEDIA_WORKERS = 64
SCHEDULING = ("auto", "realtime", "fair")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings.

    `node_ip` is the address that Asterisk gets where neither the pool nor ADVERTISE_IP names one. `ari_tls` is None
    for an `ari_url` of http. `ari_user` and `ari_password` are those at the start: their files may change. `on_stop`:
    live calls go on to their end (drain), or the next relay on the node adopts them at once (handover). `node_turn` is
    a name that the relays of a release share: on a node one of them serves, and the next one stands by. Empty, the
    relay waits for no other. `media_workers` is 0 for as many as the range and the node's processors make sensible.
    `node_echo` is the address of the node's own echo where that does not listen on loopback. `node_echo_target` is its
    address and port, None where the node may have no echo.
    """

    port_range: PortRange
    echo: EchoTarget
    node_echo: str | None
    node_echo_target: tuple[str, int] | None
    bind_ip: str
    advertise_ip: str
    node_ip: str
    node_name: str
    ari_url: str
    ari_user: str
    ari_password: str = field(repr=False)
    ari_user_file: Path | None
    ari_password_file: Path | None
    ari_tls: ssl.SSLContext | None
    application: str
    dscp: int
    http_bind: tuple[str, ...]
    http_port: int
    http_tls: ServerCertificate | None
    http_token_file: Path | None
    pool_config: Path
    media_workers: int
    real_time: bool
    real_time_expected: bool
    admission: bool
    host_witnesses: bool
    caller_numbers: CallerNumbers
    metrics_interval_seconds: float
    on_stop: OnStop
    node_turn: str
    drain_grace_seconds: float
    log_level: str
    log_format: str


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Read and validate the environment.

    Raises:
        SettingsError: with a sentence for each setting that is not accepted.
    """
    env = Environment(variables)
    ari_url = with_node_address(env.text("ARI_URL", DEFAULT_ARI_URL), env.node_address())
    _check_ari_url(env, ari_url)
    node_name = env.text("NODE_NAME", socket.gethostname())
    scheduling = env.choice("MEDIA_SCHEDULING", "auto", SCHEDULING)
    node_echo = env.address("NODE_ECHO_HOST", "") or None
    node_echo_port = env.integer("NODE_ECHO_PORT", 0, 1, MAX_PORT)
    settings = Settings(
        port_range=env.port_range("PORT_RANGE", "10000-10100"),
        echo=_echo(env),
        node_echo=node_echo,
        node_echo_target=(node_echo or env.loopback(), node_echo_port) if node_echo_port else None,
        bind_ip=env.address("BIND_IP", "0.0.0.0"),
        advertise_ip=env.usable_address("ADVERTISE_IP"),
        node_ip=env.usable_address("NODE_IP"),
        node_name=node_name,
        ari_url=ari_url,
        ari_user=env.secret("ARI_USER").strip(),
        ari_password=env.secret("ARI_PASS"),
        ari_user_file=_path(env, "ARI_USER_FILE"),
        ari_password_file=_path(env, "ARI_PASS_FILE"),
        ari_tls=_ari_tls(env, ari_url),
        application=_application(env, node_name),
        dscp=env.integer("DSCP", EXPEDITED_FORWARDING, 0, MAX_DSCP),
        http_bind=env.addresses("HTTP_BIND", any_address()),
        http_port=env.integer("HTTP_PORT", 9090, 1, MAX_PORT),
        http_tls=env.server_certificate("HTTP_TLS_DIR"),
        http_token_file=_path(env, "HTTP_TOKEN_FILE"),
        pool_config=Path(env.text("POOL_CONFIG", f"{MOUNT_PATH}/{FILE_NAME}")),
        media_workers=env.integer("MEDIA_WORKERS", 0, 1, MAX_MEDIA_WORKERS),
        real_time=scheduling != "fair",
        real_time_expected=scheduling == "realtime",
        admission=env.choice("ADMISSION", "on", ON_OR_OFF) == "on",
        host_witnesses=env.choice("HOST_WITNESSES", "on", ON_OR_OFF) == "on",
        caller_numbers=_caller_numbers(env),
        metrics_interval_seconds=env.seconds("METRICS_INTERVAL_SEC", 1, 0.2, 10),
        on_stop=env.choice("ON_STOP", "drain", ON_STOP),
        node_turn=_node_turn(env),
        drain_grace_seconds=env.seconds("DRAIN_GRACE_SEC", 3600, 0, 86_400),
        log_level=env.choice("LOG_LEVEL", "INFO", LEVELS),
        log_format=env.choice("LOG_FORMAT", "text", FORMATS),
    )
    _check_together(env, settings)
    env.finish()
    return settings


def _echo(env: Environment) -> EchoTarget:
    default = EchoTarget()
    host = env.text("ECHO_HOST", default.host)
    if (problem := host_problem(host)) is not None:
        env.problem(f"ECHO_HOST={shown_host(host)}: accepted is a host name or an address: {problem}")
        host = default.host
    return EchoTarget(
        host=host,
        port=env.integer("ECHO_PORT", default.port, 1, MAX_PORT),
        extension=env.choice("ECHO_EXTENSION", "false", TRUE_OR_FALSE) == "true",
    )


def _check_together(env: Environment, settings: Settings) -> None:
    if settings.echo.port in settings.port_range:
        env.problem(
            f"ECHO_PORT={settings.echo.port}: lies inside PORT_RANGE={settings.port_range}; "
            "accepted is a port outside the range, because packets would loop"
        )
    if (problem := credentials_problem(settings.ari_user, settings.ari_password)) is not None:
        env.problem(problem)


def _caller_numbers(env: Environment) -> CallerNumbers:
    form = env.choice("CALLER_NUMBERS", "masked", CALLER_FORMS)
    key = env.secret("CALLER_HASH_KEY").encode()
    if form == "hashed" and len(key) < MIN_KEY_BYTES:
        env.problem(
            f"CALLER_NUMBERS=hashed: CALLER_HASH_KEY has {len(key)} bytes; accepted are {MIN_KEY_BYTES} or more in "
            "CALLER_HASH_KEY_FILE or CALLER_HASH_KEY, because short keys and the numbers behind hashes can be guessed"
        )
    return CallerNumbers(form, key)


def _node_turn(env: Environment) -> str:
    name = env.text("NODE_TURN")
    if len(name.encode()) > MAX_TURN_NAME_BYTES:
        env.problem(f"NODE_TURN={name}: accepted are at most {MAX_TURN_NAME_BYTES} bytes")
    return name


def _path(env: Environment, name: str) -> Path | None:
    text = env.text(name)
    return Path(text) if text else None


def _application(env: Environment, node_name: str) -> str:
    name = env.text("APP_NAME", "rtp-pool")
    if not is_application_name(name):
        env.problem(f"APP_NAME={name}: accepted are 1 to {MAX_NAME} letters, digits, dots, hyphens and underscores")
    own = env.choice("APP_PER_NODE", "false", TRUE_OR_FALSE) == "true"
    return application_of_node(name, node_name) if own else name


def _check_ari_url(env: Environment, text: str) -> None:
    url = _split(text)
    if url is None or url.scheme not in {"http", "https"} or not url.hostname:
        env.problem(f"ARI_URL={_without_secrets(text)}: accepted is http://HOST:8088/ari or https://HOST:8089/ari")
    elif "$(" in url.hostname:
        env.problem(
            f"ARI_URL={_without_secrets(text)}: names a variable that is not set; accepted is a URL without variables, "
            f"or with {NODE_ADDRESS} where NODE_IP is the node's address"
        )
    elif (problem := host_problem(url.hostname)) is not None:
        env.problem(
            f"ARI_URL has the host {shown_host(url.hostname)}; accepted is a host name or an address: {problem}"
        )
    elif url.username is not None or url.password is not None:
        env.problem(
            f"ARI_URL={_without_secrets(text)}: holds credentials; accepted is a URL without them, "
            "set ARI_USER and ARI_PASS or ARI_PASS_FILE"
        )
    elif "?" in text or "#" in text:
        env.problem(
            f"ARI_URL={_without_secrets(text)}: has a query or a fragment; accepted is a URL without them, "
            "credentials belong in ARI_USER and ARI_PASS or ARI_PASS_FILE"
        )


def _ari_tls(env: Environment, ari_url: str) -> ssl.SSLContext | None:
    text = env.text("ARI_CA_FILE")
    if not ari_url.lower().startswith("https://"):
        if text:
            env.problem(
                f"ARI_CA_FILE={text}: is set, but ARI_URL={_without_secrets(ari_url)} does not use TLS; accepted is "
                "https://HOST:8089/ari, or no ARI_CA_FILE"
            )
        return None
    try:
        return tls_context(Path(text) if text else None)
    except CaFileError as error:
        env.problem(
            f"ARI_CA_FILE={text}: {error}; accepted is the path of a readable PEM file with the certificates of the "
            "authority that signed Asterisk's certificate"
        )
        return None


def with_node_address(url: str, node_ip: str) -> str:
    """Put the node's address in the place of `$(NODE_IP)`, in brackets when it is IPv6.

    Kubernetes substitutes $(NODE_IP) as plain text, so the node's address may be there already, without brackets.
    """
    scheme, separator, rest = url.partition("://")
    if not node_ip:
        return url
    host = f"[{node_ip}]" if ":" in node_ip else node_ip
    for written in (f"[{NODE_ADDRESS}]", NODE_ADDRESS, f"[{node_ip}]", node_ip):
        after = rest.removeprefix(written)
        if after != rest and re.match(r"(:[0-9]*)?([/?#]|$)", after):
            return f"{scheme}{separator}{host}{after}"
    return url


def _split(text: str) -> SplitResult | None:
    """Split a URL; None for an invalid one, including one with an invalid port."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return None
    return url


def _without_secrets(text: str) -> str:
    """Hide the parts of a URL that may hold a password: user information, query and fragment."""
    plain, *rest = re.split(r"[?#]", text, maxsplit=1)
    scheme, separator, place = plain.rpartition("://")
    if rest and "@" in rest[0]:
        return f"{scheme}{separator}…"  # an @ after the ? or # hides where the host is
    if "@" in place:
        place = f"…@{place.rpartition('@')[2]}"
    return f"{scheme}{separator}{place}" + ("?…" if rest else "")
