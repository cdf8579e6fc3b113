"""Hostile traffic: strangers that know a call's SSRC must have no effect, fuzz of its peers must raise no error."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.base.errors import LabError
from lab.bench.counters.udp_drops import udp_drops, udp_waiting_bytes
from lab.bench.load.load_generator import SEED, load_generator
from lab.bench.places import ECHO_PORT, FIRST_LOAD_PORT, STRANGER_PORT
from lab.bench.programs.reference_process import running
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.echoes import reference_echo
from lab.bench.subjects.own import OwnRelay, own_relay

CALLS = 20
SECONDS = 15.0
CLOSES_SECONDS = 6.0
PORTION = 20_000
READ_POLL_SECONDS, READ_SECONDS = 0.05, 20.0
SETTLE_SECONDS = 0.5
PACKETS_A_SECOND = 25_000
UNTOUCHED = ("lost", "reordered", "duplicates", "tooLate", "sourceLost")


@dataclass(slots=True)
class Strangers:
    """Floods by `reference/flood.c` from addresses other than the calls' peers."""

    program: Path
    sent: int = 0
    came_back: int = 0
    _next_call: int = field(default=0)

    def flood_unconnected(self, packets: int, port: int) -> None:
        """Flood one port that is bound and not yet connected, while Asterisk's answer waits."""
        done = subprocess.run(self._command(packets, self._next_call, [port]), capture_output=True, check=True)
        self._next_call += 1
        self._count(done.stdout)

    async def flood(self, packets: int, ports: Sequence[int]) -> None:
        """Flood all ports in turn."""
        process = await asyncio.create_subprocess_exec(
            *self._command(packets, 0, ports), stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        self._count(printed)

    def _command(self, packets: int, first_call: int, ports: Sequence[int]) -> list[str]:
        fixed = [str(self.program), "strangers", str(packets), str(SEED), str(first_call), str(STRANGER_PORT)]
        return [*fixed, *map(str, ports)]

    def _count(self, printed: bytes) -> None:
        summary = json.loads(printed)
        self.sent += summary["sent"]
        self.came_back += summary["cameBack"]


def estimated_seconds(session: Session) -> float:
    """Return the duration of both halves."""
    return 2 * SECONDS + CLOSES_SECONDS + session.hostile_packets / PACKETS_A_SECOND + 20


async def run(session: Session) -> Result:
    """Measure strangers first, then fuzz."""
    return Result([*await _strangers(session), *await _fuzz(session)])


async def _strangers(session: Session) -> list[Figure]:
    session.say("strangers, half of them between bind and connect")
    strangers = Strangers(session.programs.flood)
    each = session.hostile_packets // 2 // CALLS
    async with (
        reference_echo(session.programs),
        load_generator(session.programs.load, session.folder, CALLS, SECONDS) as generator,
        own_relay(
            generator.ports, session.folder, before_answer=lambda port: strangers.flood_unconnected(each, port)
        ) as relay,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        await strangers.flood(session.hostile_packets // 2, relay.peers)
        await generator.until_sent()
        load = await generator.result()
        await asyncio.sleep(CLOSES_SECONDS)
        status = await relay.get("/status")
    window = status["windows"]["calls"]
    own = int((load.sent_ns > 0).sum())
    changed = abs(window["packets"] - own) + abs(window["answered"] - own) + sum(window[name] for name in UNTOUCHED)
    reached = load.foreign + load.duplicates + strangers.came_back
    title = f"{strangers.sent} datagrams of strangers"
    return [
        Figure(f"{title}: statistics changed by", [changed], "packets", 0, "worst", breaks=True),
        Figure(f"{title}: reached a peer", [reached], "packets", 0, "worst", breaks=True),
        Figure(
            f"{title}: refused by hand, queued before the connect",
            [status["media"]["dropped"]["off_source"]],
            "packets",
        ),
        Figure(f"{title}: lost of the calls' own", [load.lost], "packets", 0, "worst", breaks=True),
    ]


async def _fuzz(session: Session) -> list[Figure]:
    session.say("fuzz from the calls' own peers and from the echo's address")
    ports = range(FIRST_LOAD_PORT, FIRST_LOAD_PORT + CALLS)
    async with AsyncExitStack() as stack:
        # The echo runs until the calls are up; then the fuzz uses its address.
        echo = await stack.enter_async_context(AsyncExitStack())
        await echo.enter_async_context(reference_echo(session.programs))
        relay = await stack.enter_async_context(own_relay(ports, session.folder))
        await echo.aclose()
        before = udp_drops(relay.peers)
        pids = relay.media_pids()
        arguments = ("fuzz", SEED, CALLS, FIRST_LOAD_PORT, ECHO_PORT, *relay.peers)
        async with running(session.programs.flood, *arguments) as flood:
            await flood.expect("ready")
            sent = read = 0
            while read < session.hostile_packets and sent < 2 * session.hostile_packets:
                flood.send(str(PORTION))
                await flood.expect("sent")
                sent += PORTION
                await _wait_until_read(relay.peers)
                read = sent - (udp_drops(relay.peers) - before)
        failures = await _failures(relay, pids)
        works = await _lost_afterwards(session, relay)
    title = f"{read} fuzzed datagrams of peers"
    return [
        Figure(f"{title}: processes that ended, errors logged", [failures], "", 0, "worst", breaks=True),
        Figure(f"{title}: lost of the calls afterwards", [works], "packets", 0, "worst", breaks=True),
        Figure("fuzzed datagrams that were not read", [max(0, session.hostile_packets - read)], "", 0, "worst"),
    ]


async def _wait_until_read(ports: Sequence[int]) -> None:
    deadline = time.monotonic() + READ_SECONDS
    while udp_waiting_bytes(ports):
        if time.monotonic() > deadline:
            raise LabError(f"datagrams have waited at the relay's ports for {READ_SECONDS:.0f} s")
        await asyncio.sleep(READ_POLL_SECONDS)


async def _failures(relay: OwnRelay, pids: list[int]) -> int:
    await asyncio.sleep(SETTLE_SECONDS)
    status: dict[str, Any] = await relay.get("/status")
    logged = sum("Traceback" in line or " ERROR " in line for line in relay.log_text().splitlines())
    return int(status["media"]["restarts"]) + len(set(pids) - set(relay.media_pids())) + logged


async def _lost_afterwards(session: Session, relay: OwnRelay) -> int:
    """Return the packets that a short load through the same calls loses."""
    async with (
        reference_echo(session.programs),
        load_generator(session.programs.load, session.folder, CALLS, 2.0, 1.0, SEED + 1) as generator,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        await generator.until_sent()
        load = await generator.result()
    # Without the warm-up, which may meet queued ICMP errors and the first two packets of a new source.
    return load.sent - load.returned
