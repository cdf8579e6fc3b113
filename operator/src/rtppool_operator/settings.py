"""The operator's settings from its environment. All mistakes are reported at once."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtppool_core.contract.codec import ContractError, decode
from rtppool_core.contract.port_range import MAX_PORT
from rtppool_core.net.listeners import any_address
from rtppool_core.net.tls_files import ServerCertificate, TrustedAuthority
from rtppool_core.process.logs import FORMATS, LEVELS
from rtppool_core.process.secret_file import SecretFile
from rtppool_core.process.settings import Environment
from rtppool_operator.pools.default_pool import ACCEPTED, DefaultPool
from rtppool_operator.pools.rules import is_label
from rtppool_operator.pools.trust import HostList, TrustPolicy

DEFAULT_CRD_FILE = "/opt/rtp-pool/crds/rtppools.yaml"
# The chart adds the release's name. Every pod with these labels gets the token.
DEFAULT_RELAY_SELECTOR = "app.kubernetes.io/name=rtp-pool,app.kubernetes.io/component=relay"
MAX_SHOWN = 60
NAMESPACE_NAME = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. The namespace of `policy` has the relays and their configuration."""

    policy: TrustPolicy
    relay_selector: str
    pod_name: str
    http_bind: tuple[str, ...]
    http_port: int
    http_tls: ServerCertificate | None
    relay_token: SecretFile | None
    relay_authority: TrustedAuthority | None
    crd_file: Path
    applies_crd: bool
    default_pool: DefaultPool | None
    log_level: str
    log_format: str


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: has a sentence for each invalid setting.
    """
    env = Environment(variables)
    token_file = env.text("RELAY_TOKEN_FILE")
    settings = Settings(
        policy=_policy(env),
        relay_selector=_relay_selector(env),
        pod_name=env.text("POD_NAME", socket.gethostname()),
        http_bind=env.addresses("HTTP_BIND", any_address()),
        http_port=env.integer("HTTP_PORT", 9092, 1, MAX_PORT),
        http_tls=env.server_certificate("HTTP_TLS_DIR"),
        relay_token=SecretFile("RELAY_TOKEN_FILE", Path(token_file)) if token_file else None,
        relay_authority=env.trusted_authority("RELAY_CA_FILE", "RELAY_TLS_NAME"),
        crd_file=Path(env.text("CRD_FILE", DEFAULT_CRD_FILE)),
        applies_crd=env.choice("CRD_INSTALL", "true", ("true", "false")) == "true",
        default_pool=_default_pool(env),
        log_level=env.choice("LOG_LEVEL", "INFO", LEVELS),
        log_format=env.choice("LOG_FORMAT", "text", FORMATS),
    )
    if not settings.policy.namespace:
        env.problem("POD_NAMESPACE= : is empty; accepted is the namespace of the relays (the chart sets it)")
    if not settings.crd_file.is_file():
        env.problem(f"CRD_FILE={settings.crd_file}: is not a file; accepted is the path of the CRD of RtpPool")
    env.finish()
    return settings


def _policy(env: Environment) -> TrustPolicy:
    return TrustPolicy(
        namespace=env.text("POD_NAMESPACE"),
        pool_namespaces=frozenset(_pool_namespaces(env)),
        foreign_pools_may_take_nodes=env.choice("FOREIGN_POOLS_MAY_TAKE_NODES", "false", ("true", "false")) == "true",
        echo_hosts=_echo_hosts(env),
        advertised=HostList(env.networks("ALLOWED_ADVERTISE_ADDRESSES")),
    )


def _pool_namespaces(env: Environment) -> list[str]:
    text = env.text("POOL_NAMESPACES")
    names = [name for each in text.split(",") if (name := each.strip())]
    if not all(re.fullmatch(NAMESPACE_NAME, name) for name in names):
        env.problem(f"POOL_NAMESPACES={text}: accepted are names of namespaces, separated by commas")
    return names


def _echo_hosts(env: Environment) -> HostList:
    text = env.text("ALLOWED_ECHO_HOSTS")
    try:
        return HostList.parse(text)
    except ValueError:
        accepted = "addresses, networks such as 10.0.0.0/8 with host bits zero, and host names, separated by commas"
        env.problem(f"ALLOWED_ECHO_HOSTS={text}: accepted are {accepted}")
        return HostList()


def _default_pool(env: Environment) -> DefaultPool | None:
    text = env.text("DEFAULT_POOL")
    if not text:
        return None
    try:
        return decode(DefaultPool, text)
    except ContractError:
        env.problem(f"DEFAULT_POOL={text:.{MAX_SHOWN}}: accepted is {ACCEPTED} (the chart sets it)")
        return None


def _relay_selector(env: Environment) -> str:
    text = env.text("RELAY_SELECTOR", DEFAULT_RELAY_SELECTOR)
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(value and is_label(key, value) for key, _, value in pairs):
        env.problem(f"RELAY_SELECTOR={text}: accepted are labels such as name=value, separated by commas")
    return text
