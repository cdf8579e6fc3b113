"""The product on loopback: relay, Asterisk stand-in, and calls whose RTP is the load generator's."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lab.bench.counters.cpu_time import children_of, command_line
from lab.bench.places import (
    ECHO_HTTP_PORT,
    ECHO_PORT,
    FIRST_RELAY_PORT,
    LOOPBACK,
    RELAY_HTTP_PORT,
)
from lab.bench.programs.compiled import BenchError
from lab.bench.subjects.generator_player import GeneratorPlayer
from rtppool_callgen.local.processes import Child, start
from rtppool_callgen.stand_in.stand_in import StandIn

APPLICATION = "rtp-pool"
NODE = "bench"
MEDIA_MODULE = "rtppool_relay.packets.process"
READY_SECONDS = 20.0
CALLS_UP_SECONDS = 60.0
GONE_SECONDS = 10.0
SET_UP_AT_ONCE = 16
LOOK_SECONDS = 0.05


@dataclass(slots=True)
class OwnRelay:
    """Our relay with its calls up. `peers` are its ports, in the order of the generator's."""

    peers: list[int]
    child: Child
    stand_in: StandIn
    http: aiohttp.ClientSession

    @property
    def control_pid(self) -> int:
        """The control process."""
        return self.child.process.pid

    def media_pids(self) -> list[int]:
        """The media processes, an idle one that stands by included."""
        return [pid for pid in children_of(self.control_pid) if MEDIA_MODULE in command_line(pid)]

    def processes(self) -> dict[str, list[int]]:
        """All processes by what they do."""
        return {"control": [self.control_pid], "media": self.media_pids()}

    def log_text(self) -> str:
        """What it has logged."""
        return self.child.log.read_text(errors="replace")

    async def get(self, path: str) -> Any:
        """A JSON document from its HTTP side."""
        async with self.http.get(path) as response:
            response.raise_for_status()
            return await response.json()

    async def scrape(self) -> int:
        """Fetch `/metrics` as Prometheus does; returns its bytes."""
        async with self.http.get("/metrics") as response:
            response.raise_for_status()
            return len(await response.read())


@asynccontextmanager
async def own_relay(
    ports: Sequence[int],
    folder: Path,
    settings: Mapping[str, str] | None = None,
    before_answer: Callable[[int], None] | None = None,
) -> AsyncIterator[OwnRelay]:
    """Our relay with one call for each of the generator's ports, for the length of the block.

    Raises:
        BenchError: not ready, or the calls did not come up in time.
        ChildFailed: the relay ended; says its last words.
    """
    # A port more than there are calls is left for the probe.
    password = secrets.token_urlsafe(18)
    player = GeneratorPlayer(ports, before_answer)
    base_url = f"http://{LOOPBACK}:{RELAY_HTTP_PORT}"
    async with (
        StandIn(LOOPBACK, 0, APPLICATION, password, player) as stand_in,
        aiohttp.ClientSession(base_url=base_url) as http,
    ):
        environment = {
            "ARI_URL": stand_in.url,
            "ARI_USER": APPLICATION,
            "ARI_PASS": password,
            "NODE_NAME": NODE,
            "BIND_IP": LOOPBACK,
            "ADVERTISE_IP": LOOPBACK,
            "PORT_RANGE": f"{FIRST_RELAY_PORT}-{FIRST_RELAY_PORT + len(ports)}",
            "ECHO_HOST": LOOPBACK,
            "ECHO_PORT": str(ECHO_PORT),
            "HTTP_BIND": LOOPBACK,
            "HTTP_PORT": str(RELAY_HTTP_PORT),
            "DRAIN_GRACE_SEC": "0",
            **(settings or {}),
        }
        child = start("relay", ["rtppool_relay"], environment, folder)
        try:
            await until_ready(child, RELAY_HTTP_PORT)
            await _place_calls(child, stand_in, player, len(ports))
            yield OwnRelay(player.peers(), child, stand_in, http)
        finally:
            await _end_with_children(child)


@asynccontextmanager
async def own_echo(folder: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """Our echo with all its filters on, for the length of the block."""
    environment = {
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(ECHO_PORT),
        "ECHO_ALLOW": "127.0.0.0/8",
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(ECHO_HTTP_PORT),
        **(settings or {}),
    }
    child = start("echo", ["rtppool_echo"], environment, folder)
    try:
        await until_ready(child, ECHO_HTTP_PORT)
        yield child
    finally:
        await _end_with_children(child)


async def until_ready(child: Child, http_port: int) -> None:
    """Wait for `/ready`.

    Raises:
        BenchError: not in time; says what is missing.
    """
    deadline = time.monotonic() + READY_SECONDS
    answer = "nothing answers"
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            child.check()
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://{LOOPBACK}:{http_port}/ready") as response:
                    if response.ok:
                        return
                    answer = (await response.text()).strip()
            await asyncio.sleep(LOOK_SECONDS)
    raise BenchError(f"{child.name} was not ready within {READY_SECONDS:.0f} s: {answer}")


async def _end_with_children(child: Child) -> None:
    """End a service, and wait until the processes that it started are gone, too: they hold ports.

    Raises:
        BenchError: one outlives its service.
    """
    started = children_of(child.process.pid)
    await child.end()
    deadline = time.monotonic() + GONE_SECONDS
    while left := [pid for pid in started if command_line(pid)]:
        if time.monotonic() > deadline:
            raise BenchError(f"{child.name} has ended, its processes {left} have not")
        await asyncio.sleep(LOOK_SECONDS)


async def _place_calls(child: Child, stand_in: StandIn, player: GeneratorPlayer, calls: int) -> None:
    deadline = time.monotonic() + CALLS_UP_SECONDS
    placed = 0
    while player.playing < calls:
        child.check()
        if stand_in.ended:
            raise BenchError(f"the relay refused a call: {stand_in.ended[0].refused}")
        if time.monotonic() > deadline:
            raise BenchError(f"{player.playing} of {calls} calls were up after {CALLS_UP_SECONDS:.0f} s")
        while stand_in.switchboard.is_registered(APPLICATION) and placed < min(calls, player.playing + SET_UP_AT_ONCE):
            stand_in.place_call(APPLICATION)
            placed += 1
        player.changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await player.changed.wait()
