"""The operator's settings from its environment. All mistakes are reported at once."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtppool_core.contract.port_range import MAX_PORT
from rtppool_core.process.logs import FORMATS, LEVELS
from rtppool_core.process.settings import Environment

DEFAULT_CRD_FILE = "/opt/rtp-pool/crds/rtppools.yaml"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. `namespace` has the relays and their configuration."""

    namespace: str
    pod_name: str
    http_bind: str
    http_port: int
    relay_token_file: Path | None
    crd_file: Path
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
        namespace=env.text("POD_NAMESPACE"),
        pod_name=env.text("POD_NAME", socket.gethostname()),
        http_bind=env.address("HTTP_BIND", "0.0.0.0"),
        http_port=env.integer("HTTP_PORT", 9092, 1, MAX_PORT),
        relay_token_file=Path(token_file) if token_file else None,
        crd_file=Path(env.text("CRD_FILE", DEFAULT_CRD_FILE)),
        log_level=env.choice("LOG_LEVEL", "INFO", LEVELS),
        log_format=env.choice("LOG_FORMAT", "text", FORMATS),
    )
    if not settings.namespace:
        env.problem("POD_NAMESPACE= : is empty; accepted is the namespace of the relays (the chart sets it)")
    if not settings.crd_file.is_file():
        env.problem(f"CRD_FILE={settings.crd_file}: is not a file; accepted is the path of the CRD of RtpPool")
    env.finish()
    return settings
