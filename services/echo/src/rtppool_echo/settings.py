"""The echo's settings, read from the environment. All errors are reported together."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from rtppool_core.contract.port_range import MAX_PORT
from rtppool_core.net.listeners import any_address
from rtppool_core.net.tls_files import ServerCertificate
from rtppool_core.process.logs import FORMATS, LEVELS
from rtppool_core.process.settings import Environment

MAX_DSCP = 63
MAX_WORKERS = 64
# Above the capacity of one process.
MAX_RATE = 1_000_000
SCHEDULING = ("auto", "fair")
WITNESSES = ("on", "off")
BOOLEANS = ("true", "false")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. With `dscp` None an answer carries the TOS of its question. An empty `allow` serves all networks.

    `real_time`: reflecting processes ask for real-time priority. `host_witnesses`: observe time that the machine takes
    away from them.

    `rate` and `rate_per_address` are packets per second from one address and port, and from one address, in one
    reflecting process. 0 is no limit.
    """

    echo_bind: str = "0.0.0.0"
    echo_port: int = 4000
    dscp: int | None = None
    workers: int = 1
    real_time: bool = True
    host_witnesses: bool = True
    allow: tuple[Network, ...] = ()
    rate: int = 200
    rate_per_address: int = 0
    rtp_only: bool = True
    http_bind: tuple[str, ...] = field(default_factory=lambda: (any_address(),))
    http_port: int = 9091
    http_tls: ServerCertificate | None = None
    log_level: str = "INFO"
    log_format: str = "text"


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: with a sentence for each setting that can't be used.
    """
    env = Environment(variables)
    settings = Settings(
        echo_bind=_echo_bind(env),
        echo_port=env.integer("ECHO_PORT", 4000, 1, MAX_PORT),
        dscp=env.integer("DSCP", 0, 0, MAX_DSCP) if env.text("DSCP") else None,
        workers=env.integer("ECHO_WORKERS", 1, 1, MAX_WORKERS),
        real_time=env.choice("ECHO_SCHEDULING", "auto", SCHEDULING) == "auto",
        host_witnesses=env.choice("HOST_WITNESSES", "on", WITNESSES) == "on",
        allow=env.networks("ECHO_ALLOW"),
        rate=env.integer("ECHO_RATE", 200, 0, MAX_RATE),
        rate_per_address=env.integer("ECHO_RATE_PER_ADDRESS", 0, 0, MAX_RATE),
        rtp_only=env.choice("ECHO_RTP_ONLY", "true", BOOLEANS) == "true",
        http_bind=env.addresses("HTTP_BIND", any_address()),
        http_port=env.integer("HTTP_PORT", 9091, 1, MAX_PORT),
        http_tls=env.server_certificate("HTTP_TLS_DIR"),
        log_level=env.choice("LOG_LEVEL", "INFO", LEVELS),
        log_format=env.choice("LOG_FORMAT", "text", FORMATS),
    )
    env.finish()
    return settings


def _echo_bind(env: Environment) -> str:
    """Return ECHO_BIND. On a node with an IPv6 address, 0.0.0.0 becomes `::`, which receives IPv4 as well."""
    bind = env.address("ECHO_BIND", "0.0.0.0")
    return "::" if bind == "0.0.0.0" and ":" in env.usable_address("NODE_IP") else bind
