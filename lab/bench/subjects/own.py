"""The product on loopback: relay, Asterisk stand-in, and calls whose RTP comes from the load generator."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lab.base.errors import LabError
from lab.base.places import LOOPBACK, inherited_variables
from lab.base.proc import children_of, command_line, media_pids
from lab.base.processes import Process
from lab.base.services import echo_settings, relay_settings
from lab.base.waiting import wait_until
from lab.bench.places import ECHO_HTTP_PORT, ECHO_PORT, FIRST_RELAY_PORT, RELAY_HTTP_PORT
from lab.bench.subjects.generator_player import GeneratorPlayer
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.contract.pools_file import EchoTarget, NodeAssignment, PoolEntry, PoolsDocument, SlaLimits, encode
from rtppool_core.contract.port_range import PortRange

APPLICATION = "rtp-pool"
NODE = "bench"
READY_SECONDS = 20.0
CALLS_UP_SECONDS = 60.0
GONE_SECONDS = 10.0
SET_UP_AT_ONCE = 16
POLL_SECONDS = 0.05


@dataclass(slots=True)
class OwnRelay:
    """Our relay with its calls up. `peers` are its ports, in the order of the generator's."""

    peers: list[int]
    process: Process
    stand_in: StandIn
    http: aiohttp.ClientSession

    @property
    def control_pid(self) -> int:
        """The id of the control process."""
        return self.process.pid

    def media_pids(self) -> list[int]:
        """Return the ids of the media processes, an idle spare included."""
        return media_pids(self.control_pid)

    def processes(self) -> dict[str, list[int]]:
        """Return the ids of control and media processes by their role."""
        return {"control": [self.control_pid], "media": self.media_pids()}

    def heartbeat_pids(self) -> list[int]:
        """Return the ids of the processes that are neither control nor media processes."""
        known = {pid for pids in self.processes().values() for pid in pids}
        return [pid for pid in _descendants(self.control_pid) if pid not in known]

    def log_text(self) -> str:
        """Return the log."""
        return self.process.log.read_text(errors="replace")

    async def get(self, path: str) -> Any:
        """Return a JSON document from the relay's HTTP port."""
        async with self.http.get(path) as response:
            response.raise_for_status()
            return await response.json()

    async def metrics(self) -> str:
        """Fetch `/metrics` as Prometheus does."""
        async with self.http.get("/metrics") as response:
            response.raise_for_status()
            return await response.text()


@asynccontextmanager
async def own_relay(
    ports: Sequence[int],
    folder: Path,
    settings: Mapping[str, str] | None = None,
    before_answer: Callable[[int], None] | None = None,
) -> AsyncIterator[OwnRelay]:
    """Run our relay with one call for each of the generator's ports, for the length of the block.

    Raises:
        LabError: the relay ended, was not ready in time, or the calls did not come up in time.
    """
    password = secrets.token_urlsafe(18)
    player = GeneratorPlayer(ports, before_answer)
    base_url = f"http://{LOOPBACK}:{RELAY_HTTP_PORT}"
    async with (
        StandIn(LOOPBACK, 0, APPLICATION, password, player) as stand_in,
        aiohttp.ClientSession(base_url=base_url) as http,
    ):
        own = relay_settings(
            ari_url=stand_in.url,
            user=APPLICATION,
            password=password,
            node=NODE,
            # One port more than there are calls, for the probe.
            ports=f"{FIRST_RELAY_PORT}-{FIRST_RELAY_PORT + len(ports)}",
            echo_port=ECHO_PORT,
            http_port=RELAY_HTTP_PORT,
        )
        async with _service("relay", own, settings, RELAY_HTTP_PORT, folder) as process:
            await _place_calls(process, stand_in, player, len(ports))
            yield OwnRelay(player.peers(), process, stand_in, http)


@asynccontextmanager
async def own_echo(folder: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Run our echo with all its filters on, for the length of the block."""
    own = echo_settings(port=ECHO_PORT, http_port=ECHO_HTTP_PORT)
    async with _service("echo", own, settings, ECHO_HTTP_PORT, folder) as process:
        yield process


def pool_with(folder: Path, calls: int, sla: SlaLimits) -> Path:
    """Write a pools file with these limits, and return its path for `POOL_CONFIG`."""
    entry = PoolEntry(
        name="bench",
        namespace="bench",
        uid="bench",
        generation=1,
        nodes=(NodeAssignment(NODE, LOOPBACK),),
        port_range=PortRange(FIRST_RELAY_PORT, FIRST_RELAY_PORT + calls),
        echo=EchoTarget(LOOPBACK, ECHO_PORT),
        sla=sla,
    )
    path = folder / "pools.json"
    path.write_text(encode(PoolsDocument((entry,))))
    return path


@asynccontextmanager
async def _service(
    name: str, own: Mapping[str, str], settings: Mapping[str, str] | None, http_port: int, folder: Path
) -> AsyncIterator[Process]:
    variables = {**inherited_variables(), **own, **(settings or {})}
    process = Process(name, [sys.executable, "-m", f"rtppool_{name}"], variables, folder / f"{name}.log")
    try:
        await _wait_until_ready(process, http_port)
        yield process
    finally:
        await _end_with_children(process)


async def _wait_until_ready(process: Process, http_port: int) -> None:
    """Wait for `/ready`.

    Raises:
        LabError: the service ended, or is not ready in time; the message has its last answer.
    """
    deadline = time.monotonic() + READY_SECONDS
    answer = "no answer"
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            process.check()
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://{LOOPBACK}:{http_port}/ready") as response:
                    if response.ok:
                        return
                    answer = (await response.text()).strip()
            await asyncio.sleep(POLL_SECONDS)
    raise LabError(f"{process.name} was not ready within {READY_SECONDS:.0f} s: {answer}")


async def _end_with_children(process: Process) -> None:
    """End a service, and wait for the end of the processes that it started: they hold ports.

    Raises:
        LabError: one of them outlives its service.
    """
    started = children_of(process.pid)
    await process.end()
    await wait_until(f"the processes of {process.name} end", lambda: not any(map(command_line, started)), GONE_SECONDS)


def _descendants(pid: int) -> Iterable[int]:
    for child in children_of(pid):
        yield child
        yield from _descendants(child)


async def _place_calls(process: Process, stand_in: StandIn, player: GeneratorPlayer, calls: int) -> None:
    deadline = time.monotonic() + CALLS_UP_SECONDS
    placed = 0
    while player.playing < calls:
        process.check()
        if stand_in.ended:
            raise LabError(f"the relay refused a call: {stand_in.ended[0].refused}")
        if time.monotonic() > deadline:
            raise LabError(f"{player.playing} of {calls} calls were up after {CALLS_UP_SECONDS:.0f} s")
        while stand_in.switchboard.is_registered(APPLICATION) and placed < min(calls, player.playing + SET_UP_AT_ONCE):
            stand_in.place_call(APPLICATION)
            placed += 1
        player.changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await player.changed.wait()
