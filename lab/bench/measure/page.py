"""The cost of the live page: 101 calls, with ten watchers and without in turn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from lab.base.errors import LabError
from lab.base.places import inherited_variables
from lab.base.proc import cpu_ns
from lab.base.processes import Process
from lab.base.waiting import wait_until
from lab.bench.load.watchers import WATCHING
from lab.bench.measure.switched import PHASE_SECONDS, closed_window, switched
from lab.bench.places import RELAY_HTTP_PORT
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.results.median_interval import median_interval
from lab.bench.session import Session
from lab.bench.subjects.own import OwnRelay
from rtppool_core.units import NS_PER_SECOND

CALLS, WATCHERS = 101, 10
WATCHED, UNWATCHED = "watched", "unwatched"
NICE = 19
START_SECONDS = 20.0
MAX_CPU_PER_CENT = 2.0
MAX_P99_RATIO = 1.10


@dataclass(frozen=True, slots=True)
class Phase:
    """A window's p99, and the CPU time of its control and media processes, in % of a processor."""

    p99_us: float
    cpu_per_cent: float


async def run(session: Session) -> Result:
    """Switch the watchers on and off."""
    found, lost = await switched(session, CALLS, UNWATCHED, WATCHED, partial(_phase, session))
    return Result([*figures_of(found[WATCHED], found[UNWATCHED]), Figure("page: lost", [lost], "packets", 0, "worst")])


def figures_of(watched: Sequence[Phase], unwatched: Sequence[Phase]) -> list[Figure]:
    """Return the differences and the ratios round by round."""
    p99 = ratios([each.p99_us for each in watched], [each.p99_us for each in unwatched])
    interval = median_interval(p99)
    note = f"95 % interval of the median {interval[0]:.3f} to {interval[1]:.3f}" if interval else "too few rounds"
    cpu = [a.cpu_per_cent - b.cpu_per_cent for a, b in zip(watched, unwatched, strict=True)]
    title = f"page, {CALLS} calls and {WATCHERS} watchers"
    return [
        Figure(f"{title}: CPU of the relay, more by, % of a processor", cpu, target=MAX_CPU_PER_CENT),
        Figure(f"{title}: p99 ÷ unwatched", p99, target=MAX_P99_RATIO, note=note),
        *(
            Figure(f"{title}: {name}, {kind}", [getattr(each, field) for each in phases], unit)
            for kind, phases in ((WATCHED, watched), (UNWATCHED, unwatched))
            for name, field, unit in (("p99", "p99_us", "µs"), ("CPU", "cpu_per_cent", "%"))
        ),
    ]


async def _phase(session: Session, relay: OwnRelay, is_watched: bool) -> Phase:
    async with _watchers(session) if is_watched else contextlib.nullcontext():
        # The heartbeat's processes have no part in the page.
        pids = [pid for pids in relay.processes().values() for pid in pids]
        before_ns = cpu_ns(pids)
        await asyncio.sleep(PHASE_SECONDS)
        busy_ns = cpu_ns(pids) - before_ns
    _, p99_us = await closed_window(relay)
    return Phase(p99_us, 100 * busy_ns / (PHASE_SECONDS * NS_PER_SECOND))


@asynccontextmanager
async def _watchers(session: Session) -> AsyncIterator[None]:
    """Read ten streams, in one process that leaves the processors to the relay.

    Raises:
        LabError: a stream was refused or closed.
    """
    command = [sys.executable, "-m", "lab.bench.load.watchers", str(RELAY_HTTP_PORT), str(WATCHERS)]
    process = Process("watchers", command, inherited_variables(), session.folder / "watchers.log")
    os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    try:
        await wait_until(f"{WATCHERS} pages watch", lambda: WATCHING in process.log.read_text(), START_SECONDS)
        yield
        process.check()
    finally:
        with contextlib.suppress(LabError):
            await process.end()
