"""Echo, relay and stand-in on this machine's loopback, as processes that know only each other."""

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
from rtppool_core.process.service import Stop

LOOPBACK = "127.0.0.1"
# The first start may have to compile the packet path, on a machine that has other work.
START_SECONDS = 60.0
# Somebody else who holds the port may never answer; meanwhile our own relay has ended, and must be asked why.
ANSWER = aiohttp.ClientTimeout(total=2)


@dataclass(frozen=True, slots=True)
class LocalSystem:
    """Where its parts listen. `admission` is the relay's setting: off, it refuses no call for lack of headroom."""

    http_port: int = 9090
    echo_http_port: int = 9091
    port_range: str = "10000-10100"
    echo_port: int = 4000
    admission: str = "on"

    @property
    def address(self) -> str:
        """Where the relay's HTTP side is."""
        return f"http://{LOOPBACK}:{self.http_port}"


@dataclass(frozen=True, slots=True)
class StandInAddress:
    """Where the stand-in will serve ARI, and the password made for this run."""

    port: int
    password: str = field(repr=False)

    @property
    def credentials(self) -> dict[str, str]:
        """As settings of relay and stand-in."""
        return {"ARI_USER": "rtp-pool", "ARI_PASS": self.password}


def new_stand_in_address() -> StandInAddress:
    """A free port, and a new password."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return StandInAddress(int(probe.getsockname()[1]), secrets.token_urlsafe(18))


def start_services(system: LocalSystem, ari: StandInAddress, logs: Path) -> list[Child]:
    """Echo and relay, in this order; logs go to the folder `logs`."""
    echo = {
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(system.echo_port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(system.echo_http_port),
    }
    relay = {
        **ari.credentials,
        "ARI_URL": f"http://{LOOPBACK}:{ari.port}/ari",
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "PORT_RANGE": system.port_range,
        "ADMISSION": system.admission,
        "ECHO_HOST": LOOPBACK,
        "ECHO_PORT": str(system.echo_port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(system.http_port),
    }
    return [start("echo", ["rtppool_echo"], echo, logs), start("relay", ["rtppool_relay"], relay, logs)]


def start_stand_in(ari: StandInAddress, callers: Sequence[str], logs: Path) -> Child:
    """The stand-in; `callers` is what `serve` is told of them. They call once the relay serves their application."""
    arguments = ["rtppool_callgen", "serve", "--bind", LOOPBACK, "--port", str(ari.port), *callers]
    return start("stand-in", arguments, ari.credentials, logs)


async def until_ready(http: aiohttp.ClientSession, children: Sequence[Child], stop: Stop) -> None:
    """Return when the relay is ready, or somebody wants to stop.

    Raises:
        ChildFailed: a process ended, or the relay is not ready in time; says what it answers.
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
    """End them, the stand-in first: its callers hang up, so the relay has nothing to wait for."""
    for child in reversed(children):
        await child.end()
