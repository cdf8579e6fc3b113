"""Exhausted descriptors and idle connections: calls go on, HTTP answers, and new callers are served or refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from lab.base.descriptors import descriptors_exhausted
from lab.base.idle_connections import Answers, ask, idle_connections
from lab.base.keeper import Keeper
from lab.base.proc import has_epoll, media_pids, resident_bytes
from lab.faults.calls.places import ECHO_HTTP_PORT, RELAY_HTTP_PORT, TRIAL_RTP_PORT
from lab.faults.calls.rig.callers import Plan
from lab.faults.calls.rig.rig import Rig
from lab.faults.calls.rounds.faults import Fault, Struck
from lab.faults.calls.rounds.rounds import answered

HELD_CALL_SECONDS = 40.0
EXHAUSTED_SECONDS, MORE_CALLERS, MORE_SECONDS, MORE_PER_SECOND = 5.0, 20, 1.0, 10
FINISH_SECONDS = 30.0
CONNECTIONS, PROBES = 10_000, 100
MAX_GROWTH_BYTES = 64 << 20
MAX_LINES = 10  # of a log, within any minute under idle connections
PROBED_PATHS = ("/health", "/ready")
RELAY_PROCESSES = 2  # media processes: the working one and the standby
FLOW_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the rig with an HTTP port; `exhausted` returns the processes whose descriptors run out."""

    keeper: Callable[[Rig], Keeper]
    port: int
    exhausted: Callable[[Rig], list[int]]
    refuses: bool


async def relay_is_complete(rig: Rig) -> bool:
    """Return whether the relay has a media process and a standby that wait for packets, and answers over HTTP."""
    media = [pid for pid in media_pids(rig.relay.pid) if has_epoll(pid)]
    return len(media) >= RELAY_PROCESSES and await rig.relay_view.status() is not None


@asynccontextmanager
async def watched(rig: Rig, part: Keeper, findings: list[str]) -> AsyncIterator[None]:
    """Find a process that ended and a live call without answers in the course of the block."""
    before, starts = await answered(rig), (rig.relay.starts, rig.echo.starts)
    yield
    if (rig.relay.starts, rig.echo.starts) != starts:
        findings.append(f"relay or echo ended under the fault; the log of the {part.name} says why")
    findings += await stalled(rig, before.keys())


async def stalled(rig: Rig, callers: Iterable[str]) -> list[str]:
    """Return a finding where one of these callers gets no answered packet within `FLOW_SECONDS`."""
    first = await answered(rig)
    waiting, deadline = set(callers), time.monotonic() + FLOW_SECONDS
    while waiting and time.monotonic() < deadline:
        now = await answered(rig)
        waiting = {each for each in waiting if now.get(each, 0) <= first.get(each, 0)}
        await asyncio.sleep(0.2)
    return [f"{len(waiting)} live calls have no packets under the fault"] if waiting else []


def _answered_all(what: str, answers: Answers) -> list[str]:
    return [] if answers.answered == answers.sent else [f"{what}: answered {answers}"]


async def _exhaust(part: Part, rig: Rig, number: int) -> Struck:
    findings: list[str] = []
    keeper, at = part.keeper(rig), time.monotonic()
    with descriptors_exhausted(part.exhausted(rig)):
        async with watched(rig, keeper, findings):
            plan = Plan(
                f"exhausted-{keeper.name}-{number}", MORE_CALLERS, MORE_SECONDS, TRIAL_RTP_PORT, MORE_PER_SECOND
            )
            async with rig.callers.calling(plan) as calling:
                answers = await ask(part.port, PROBED_PATHS, PROBES // 10, EXHAUSTED_SECONDS / PROBES)
                others = await calling.finish(FINISH_SECONDS)
        relieved = time.monotonic()
    refused, given_back = len(others.placed - others.answered), len(others.answered - others.talked)
    if part.refuses and not refused + given_back:
        findings.append("no caller was refused or given back, so the descriptors were not exhausted")
    findings += _answered_all("HTTP without descriptors", answers)
    notes = (f"of {len(others.placed)} more callers {refused} refused, {given_back} given back", f"HTTP {answers}")
    return Struck(at, max(relieved, time.monotonic()), others=others, notes=notes, findings=tuple(findings))


async def _connect_idly(part: Part, connections: int, rig: Rig, _number: int) -> Struck:
    findings: list[str] = []
    keeper, at = part.keeper(rig), time.monotonic()
    offset, memory = keeper.log_size(), resident_bytes(keeper.pid)
    async with idle_connections(part.port, connections), watched(rig, keeper, findings):
        answers = await ask(part.port, PROBED_PATHS, PROBES)
        grown = resident_bytes(keeper.pid) - memory
    lines = keeper.log_text(offset).count("\n")
    if lines >= MAX_LINES:
        findings.append(f"{lines} log lines within {time.monotonic() - at:.0f} s")
    if grown > MAX_GROWTH_BYTES:
        findings.append(f"{keeper.name} grew by {grown >> 20} MiB")
    findings += _answered_all(f"HTTP beside {connections} idle connections", answers)
    notes = (f"HTTP {answers}", f"{lines} log lines", f"{grown >> 20} MiB more")
    return Struck(at, time.monotonic(), notes=notes, findings=tuple(findings))


_PARTS = {
    "relay control": Part(lambda rig: rig.relay, RELAY_HTTP_PORT, lambda rig: [rig.relay.pid], refuses=True),
    "relay media process": Part(
        lambda rig: rig.relay, RELAY_HTTP_PORT, lambda rig: media_pids(rig.relay.pid), refuses=True
    ),
    "echo": Part(lambda rig: rig.echo, ECHO_HTTP_PORT, lambda rig: [rig.echo.pid], refuses=False),
}


def _fault(name: str, title: str, strike: Callable[[Rig, int], Awaitable[Struck]]) -> Fault:
    return Fault(name, title, strike, reconnects=False, is_whole=relay_is_complete, call_seconds=HELD_CALL_SECONDS)


EXHAUSTION = tuple(_fault("descriptors", name, partial(_exhaust, part)) for name, part in _PARTS.items())
IDLE = tuple(
    _fault("idle", name, partial(_connect_idly, _PARTS[name], CONNECTIONS)) for name in ("relay control", "echo")
)
