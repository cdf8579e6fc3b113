"""Many relays and pools: times of edits, requests and writes meanwhile, and the cost of the operator."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.base.audit_log import answered, shortest_pause_seconds, writes
from lab.base.proc import resident_bytes
from lab.base.report import Figure
from lab.faults.operator.api.resources import NAMESPACE, OTHER_NAMESPACE, POOLS, pool, pools_of
from lab.faults.operator.relays.remote_relays import Counts, RemoteRelays
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import NotConverged, Rig
from lab.faults.operator.runs.meter import Meter
from lab.faults.operator.runs.sizes import MIB, Size
from lab.faults.operator.runs.timed_edits import TimedEdit, edit_figures, has_applied, timed_edit

# The last pool has the remaining relays.
NODES_OF_A_SELECTING_POOL = 2
PAUSE_BETWEEN_EDITS_SECONDS = 3.0
BUSY_SECONDS = 15.0
MAX_START_SECONDS, START_POLL_SECONDS = 300.0, 0.5
ANSWER_SECONDS = 0.005
CREATED_BEFORE_A_LINE, SAY_EVERY_SECONDS = 500, 15.0
STATUS_RESOURCE = "rtppools/status"

# A quiet relay holds a request for 10 s, a shorter one before each whole report is due. At most 32 requests are in
# flight, without those that relays hold. A status is written at most once a second, for figures alone every 15 s.
WAIT_SECONDS, IN_FLIGHT = 10.0, 32
MIN_PAUSE_SECONDS, FIGURES_PAUSE_SECONDS = 1.0, 15.0
# The API server's times are later than the operator's by up to this much, so writes may appear closer together.
CLOCK_SLACK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Run:
    rig: Rig
    operator: OperatorProcess
    relays: RemoteRelays
    size: Size
    chance: random.Random
    say: Callable[[str], None]

    def meter(self) -> Meter:
        """Return a meter of operator and simulation."""
        return Meter(self.operator.process.pid, self.relays.pid)

    def log(self) -> list[str]:
        """Return the audit log of the operator's requests."""
        return self.rig.server.audit_log.read_text().splitlines()

    @property
    def narrow_relays(self) -> int:
        """The number of relays of pools with a selector."""
        return (self.size.pools - 1) * NODES_OF_A_SELECTING_POOL


async def scale(
    rig: Rig,
    operator: OperatorProcess,
    relays: RemoteRelays,
    size: Size,
    chance: random.Random,
    say: Callable[[str], None],
) -> list[Figure]:
    """Measure on an empty rig with an operator that does not run.

    A phase that does not reach its state in time is a row of the table, and the next phase follows.

    Raises:
        NotConverged: the statuses do not come after the operator's start.
    """
    run = _Run(rig, operator, relays, size, chance, say)
    await _set_up(run)
    operator.start()
    figures = _said(run, await _start(run))
    phases = {
        "quiet": _quiet,
        "edits of small pools": _narrow_edits,
        "edits of the large pool": _wide_edits,
        "calls that move": _busy,
        "memory": _memory,
    }
    for name, phase in phases.items():
        try:
            added = await phase(run)
        except NotConverged as missed:
            added = [Figure(name, str(missed), "converges", holds=False)]
        figures += _said(run, added)
    return figures


def _said(run: _Run, figures: list[Figure]) -> list[Figure]:
    for each in figures:
        run.say(f"{each.name}: {each.measured}")
    return figures


async def _set_up(run: _Run) -> None:
    size, selecting = run.size, run.size.pools - 1

    def labels(number: int) -> dict[str, str]:
        owner = number // NODES_OF_A_SELECTING_POOL
        return {"pool": f"pool-{owner}"} if owner < selecting else {}

    for first in range(0, size.relays, CREATED_BEFORE_A_LINE):
        end = min(first + CREATED_BEFORE_A_LINE, size.relays)
        await run.relays.add({f"node-{number}": labels(number) for number in range(first, end)})
        run.say(f"created {end:,} of {size.relays:,} nodes and relays")
    await run.rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
    for number in range(selecting):
        name = f"pool-{number}"
        made = pool(OTHER_NAMESPACE, name, 11_000, 11_100, nodeSelector={"pool": name})
        await run.rig.api.create(pools_of(OTHER_NAMESPACE), made)
    run.say(f"created {size.pools} pools")


async def _start(run: _Run) -> list[Figure]:
    """Measure from the operator's start to the last status, which the model of the converged state then confirms."""
    next_line_seconds = time.monotonic() + SAY_EVERY_SECONDS

    async def all_applied() -> bool:
        nonlocal next_line_seconds
        pools = await run.rig.api.items(POOLS)
        applied = sum(map(has_applied, pools))
        if time.monotonic() > next_line_seconds:
            next_line_seconds += SAY_EVERY_SECONDS
            counts = await run.relays.counts()
            run.say(f"{applied} of {len(pools)} statuses; {_described(counts)}")
        return applied == len(pools)

    meter = run.meter()
    with meter.running():
        try:
            seconds = await run.rig.until("every status", MAX_START_SECONDS, all_applied, START_POLL_SECONDS)
        except NotConverged as missed:
            raise NotConverged("\n  ".join([str(missed), *(await run.rig.differences())[:8]])) from missed
    await run.rig.converge(MAX_START_SECONDS)
    await asyncio.sleep(FIGURES_PAUSE_SECONDS)
    return meter.judged("start", [Figure("start of the operator to every status", f"{seconds:.1f} s")])


async def _quiet(run: _Run) -> list[Figure]:
    """Measure requests and writes without edits and without calls."""
    seconds, meter, since = run.size.quiet_seconds, run.meter(), time.time()
    await run.relays.forget_polls()
    with meter.running():
        await asyncio.sleep(seconds)
    counts, log = await run.relays.counts(), run.log()
    written = writes(log, STATUS_RESOURCE, since)
    whole = math.floor(seconds / run.size.whole_report_seconds) + 1
    waits = math.floor(seconds / WAIT_SECONDS) + 1 + whole
    to_send = counts.config_bytes * run.size.relays
    figures = [
        _at_most(f"requests to a relay in {seconds:.0f} quiet seconds", counts.requests, waits + whole),
        _at_most(f"whole reports of a relay in {seconds:.0f} quiet seconds", counts.reports, whole),
        _in_flight("requests without a wait in flight, quiet", counts.most_in_flight),
        Figure("requests that relays hold, quiet", f"{counts.held:,} of {run.size.relays:,} relays"),
        _stall("quiet", counts),
        Figure("status writes, quiet", str(len(written)), "0", not written),
        Figure("other requests to the API server, quiet, without the lease", str(answered(log, since, "leases"))),
        _share("operator's share of one processor, quiet", meter.operator_share, run.size.max_quiet_share),
        Figure("size of the ConfigMap's file", f"{counts.config_bytes:,} bytes"),
        Figure("bytes that an edit sends to the nodes that mount it", f"{to_send / MIB:,.1f} MiB"),
    ]
    return meter.judged("quiet", figures)


async def _narrow_edits(run: _Run) -> list[Figure]:
    """Edit random pools of a few relays, one after the other."""
    names = [f"pool-{run.chance.randrange(run.size.pools - 1)}" for _ in range(run.size.edits)]
    await run.relays.forget_polls()
    began, since, meter = time.monotonic(), time.time(), run.meter()
    edits = await _edit_each(run, meter, OTHER_NAMESPACE, names)
    counts, seconds = await run.relays.counts(), time.monotonic() - began
    a_second = statistics.mean(counts.requests) / seconds
    pause = shortest_pause_seconds(writes(run.log(), STATUS_RESOURCE, since))
    figures = [
        *edit_figures(f"edit of a pool of {NODES_OF_A_SELECTING_POOL} relays", edits, run.size.narrow),
        Figure("requests to a relay a second while pools are edited", f"{a_second:.2f} on average"),
        _in_flight("requests without a wait in flight while pools are edited", counts.most_in_flight),
        _stall("edits of small pools", counts),
        _pause("shortest time between two writes of a status while pools are edited", pause, MIN_PAUSE_SECONDS),
    ]
    return meter.judged("edits of small pools", figures)


async def _wide_edits(run: _Run) -> list[Figure]:
    """Edit the pool that has all other relays."""
    meter, number = run.meter(), run.size.relays - run.narrow_relays
    edits = await _edit_each(run, meter, NAMESPACE, ["default"] * run.size.wide_edits)
    return meter.judged(
        "edits of the large pool", edit_figures(f"edit of a pool of {number:,} relays", edits, run.size.wide)
    )


async def _edit_each(run: _Run, meter: Meter, namespace: str, names: Sequence[str]) -> list[TimedEdit]:
    edits = []
    for number, name in enumerate(names):
        await asyncio.sleep(PAUSE_BETWEEN_EDITS_SECONDS)
        with meter.running():
            edits.append(await timed_edit(run.rig, run.relays, namespace, name, number))
    return edits


async def _busy(run: _Run) -> list[Figure]:
    """Change the number of calls on random relays, several times a second."""
    since, meter, on = time.time(), run.meter(), f"calls moving on {run.size.moving:,} relays"
    with meter.running():
        await run.relays.move(run.size.moving, BUSY_SECONDS)
    written = writes(run.log(), STATUS_RESOURCE, since)
    keys = {each.key for each in written}
    by_pool = len(written) / max(1, len(keys))
    most = math.ceil(BUSY_SECONDS) + 1
    figures = [
        _pause(
            "shortest time between two writes of a status while calls move",
            shortest_pause_seconds(written),
            MIN_PAUSE_SECONDS,
        ),
        Figure(
            f"status writes of a pool in {BUSY_SECONDS:.0f} s of calls",
            f"{by_pool:.1f} on average of {len(keys)} pools",
            f"at most {most}",
            by_pool <= most,
        ),
        _share(f"operator's share of one processor, {on}", meter.operator_share, run.size.max_moving_share),
    ]
    return meter.judged(on, figures)


async def _memory(run: _Run) -> list[Figure]:
    operator, server = resident_bytes(run.operator.process.pid), run.rig.server
    bound = run.size.max_resident_bytes
    return [
        Figure("operator's memory", _mib(operator), _mib(bound), operator <= bound),
        Figure("API server's memory", _mib(resident_bytes(server.pid))),
        Figure("etcd's memory", _mib(resident_bytes(server.store_pid))),
    ]


def _described(counts: Counts) -> str:
    asked = sum(requests > 0 for requests in counts.requests)
    return (
        f"{asked:,} relays have had {sum(counts.requests):,} requests, sent {sum(counts.reports):,} reports, "
        f"and hold {counts.held:,} requests"
    )


def _at_most(name: str, counts: Sequence[int], most: int) -> Figure:
    return Figure(name, f"{min(counts)} to {max(counts)}", f"at most {most}", max(counts) <= most)


def _in_flight(name: str, most: int) -> Figure:
    return Figure(name, f"at most {most}", f"{IN_FLIGHT}", most <= IN_FLIGHT)


def _stall(phase: str, counts: Counts) -> Figure:
    """Return how late the simulation was, which delays its answers and its times."""
    return Figure(f"simulation's longest stall, {phase}", f"{counts.longest_stall_seconds:.2f} s")


def _share(name: str, share: float, bound: float | None) -> Figure:
    if bound is None:
        return Figure(name, f"{share:.1%}")
    return Figure(name, f"{share:.1%}", f"{bound:.0%}", share <= bound)


def _pause(name: str, seconds: float | None, bound: float) -> Figure:
    if seconds is None:
        return Figure(name, "no status was written twice", f"at least {bound:.0f} s", holds=True)
    return Figure(name, f"{seconds:.2f} s", f"at least {bound:.0f} s", seconds >= bound - CLOCK_SLACK_SECONDS)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.0f} MiB"
