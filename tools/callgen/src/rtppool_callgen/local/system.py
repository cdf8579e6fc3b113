"""A local system on loopback: echo, relay and stand-in."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from rtppool_callgen.local.processes import Child, ChildFailed, start
from rtppool_core.net.udp import host_port
from rtppool_core.process.service import Stop

LOOPBACK = "127.0.0.1"
NODE = "this-machine"
# The first start may compile the packet path, on a busy machine.
START_SECONDS = 60.0
# Another program on the port may never answer, while the relay has ended because of it.
ANSWER = aiohttp.ClientTimeout(total=2)


@dataclass(frozen=True, slots=True)
class LocalSystem:
    """The ports of the parts. `admission` is the relay's setting: `off` accepts calls beyond its capacity."""

    http_port: int = 9090
    echo_http_port: int = 9091
    port_range: str = "10000-10100"
    echo_port: int = 4000
    admission: str = "on"

    @property
    def address(self) -> str:
        """The base URL of the relay."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def pools_file(self, folder: Path) -> Path:
        """Return the file that may give the relay another configuration than its settings."""
        return folder / "pools.json"


@dataclass(frozen=True, slots=True)
class StandInAddress:
    """Where the stand-in will serve ARI, and the user that it accepts."""

    port: int
    password: str = field(repr=False)
    host: str = LOOPBACK
    user: str = "rtp-pool"

    @property
    def url(self) -> str:
        """The relay's ARI_URL."""
        return f"http://{host_port(self.host, self.port)}/ari"

    @property
    def credentials(self) -> dict[str, str]:
        """The credentials as settings of relay and stand-in."""
        return {"ARI_USER": self.user, "ARI_PASS": self.password}


@dataclass(frozen=True, slots=True)
class RunningRelay:
    """A relay that runs already, with the stand-in's address as its ARI_URL and the same credentials."""

    ari: StandInAddress
    application: str


def new_stand_in_address() -> StandInAddress:
    """Return a free port and a new password."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return StandInAddress(int(probe.getsockname()[1]), secrets.token_urlsafe(18))


def start_services(system: LocalSystem, ari: StandInAddress, logs: Path) -> list[Child]:
    """Start echo and relay, in this order. Logs go to the folder `logs`.

    Raises:
        ChildFailed: another program has an HTTP port, and would be taken for them.
    """
    _check_http_ports(system)
    relay = {
        **ari.credentials,
        "ARI_URL": ari.url,
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "PORT_RANGE": system.port_range,
        "ADMISSION": system.admission,
        "ECHO_HOST": LOOPBACK,
        "ECHO_PORT": str(system.echo_port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(system.http_port),
        "NODE_NAME": NODE,
        "POOL_CONFIG": str(system.pools_file(logs)),
    }
    return [start_echo(system, logs), start("relay", ["rtppool_relay"], relay, logs)]


def start_echo(system: LocalSystem, logs: Path) -> Child:
    """Start the echo."""
    settings = {
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(system.echo_port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(system.echo_http_port),
    }
    return start("echo", ["rtppool_echo"], settings, logs)


def start_stand_in(ari: StandInAddress, callers: Sequence[str], logs: Path) -> Child:
    """Start the stand-in with the options `callers`. It places calls once the relay serves the application."""
    arguments = ["rtppool_callgen", "serve", "--bind", ari.host, "--port", str(ari.port), *callers]
    return start("stand-in", arguments, ari.credentials, logs)


async def until_ready(http: aiohttp.ClientSession, children: Sequence[Child], stop: Stop) -> None:
    """Wait until the relay is ready, or until `stop`.

    Raises:
        ChildFailed: a process ended, or the relay is not ready in time. The message has its last answer.
    """
    deadline = time.monotonic() + START_SECONDS
    answer = "nothing answers yet"
    while not stop.asked.is_set():
        for child in children:
            child.check()
        try:
            async with http.get("/ready", timeout=ANSWER) as response:
                if response.ok:
                    return
                answer = (await response.text()).strip()
        except (aiohttp.ClientError, TimeoutError) as error:
            answer = str(error) or "no answer"
        if time.monotonic() > deadline:
            raise ChildFailed(f"the relay was not ready within {START_SECONDS:.0f} s: {answer}")
        await asyncio.sleep(0.1)


async def end_all(children: Sequence[Child]) -> None:
    """End all processes, the stand-in first: its callers hang up, so that the relay needs no drain."""
    for child in reversed(children):
        await child.end()


def _check_http_ports(system: LocalSystem) -> None:
    for part, port, option in (
        ("relay", system.http_port, "--http-port"),
        ("echo", system.echo_http_port, "--echo-http-port"),
    ):
        with socket.socket() as probe:
            # Connections of a former run may linger.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise ChildFailed(
                    f"TCP port {port} of {LOOPBACK}, for HTTP of the {part}, is not free ({error.strerror}); "
                    f"{option} chooses another"
                ) from error
