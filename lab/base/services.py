"""The product's echo and relay on loopback, the same in every rig: settings, and compilation ahead of a run."""

from __future__ import annotations

import subprocess
import sys

from lab.base.errors import LabError
from lab.base.places import LOOPBACK, inherited_variables

# The rooms of machine code.
COMPILED = ("rtppool_relay.packets", "rtppool_echo.reflector")


def relay_settings(
    *, ari_url: str, user: str, password: str, node: str, ports: str, echo_port: int, http_port: int
) -> dict[str, str]:
    """Return the settings of a relay: the defaults, apart from addresses, ports and an immediate end of its drain."""
    return {
        "ARI_URL": ari_url,
        "ARI_USER": user,
        "ARI_PASS": password,
        "NODE_NAME": node,
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "PORT_RANGE": ports,
        "ECHO_HOST": LOOPBACK,
        "ECHO_PORT": str(echo_port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(http_port),
        "DRAIN_GRACE_SEC": "0",
    }


def echo_settings(*, port: int, http_port: int) -> dict[str, str]:
    """Return the settings of an echo with all its filters on."""
    return {
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(port),
        "ECHO_ALLOW": "127.0.0.0/8",
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(http_port),
    }


def compile_ahead() -> None:
    """Compile relay and echo before a run: a run measures the programs, not the compiler.

    Raises:
        LabError: one of them does not compile; the compiler's output precedes the message.
    """
    for room in COMPILED:
        command = [sys.executable, "-m", f"{room}.compile_ahead"]
        if subprocess.run(command, env=inherited_variables(), check=False).returncode != 0:
            raise LabError(f"{room} does not compile; the output above says why")
