"""The original's tiers with a real Asterisk: our echo and relay, interleaved with an echo and a relay in C."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base.compiler import compile_c
from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.base.report import Figure
from lab.base.waiting import wait_until
from lab.faults.calls.places import ECHO_PORT, HELD_RTP_PORT
from lab.faults.calls.rig.callers import Plan
from lab.faults.calls.rig.relay import NODE
from lab.faults.calls.rig.rig import OURS, Chain, Ports, Rig, running_rig
from lab.faults.calls.rows.row_observer import WINDOW_SECONDS, RowObserver, Window
from lab.faults.calls.rows.rows import Row, RowResult, Stage
from rtppool_core.contract.pools_file import (
    EchoTarget,
    NodeAssignment,
    PoolEntry,
    PoolsDocument,
    ProbeSettings,
    SlaLimits,
    encode,
)
from rtppool_core.contract.port_range import PortRange
from rtppool_core.statistics.histogram import Histogram

CALLS = (30, 100)
ROUNDS = 3
WINDOWS = 6
CALLS_PER_SECOND = 10.0
SETTLE_SECONDS = 4
ENDING_SECONDS = 8
UP_SECONDS, GRACE_SECONDS = 30.0, 40.0
OUR_CHAIN, C_CHAIN = "rtp-pool", "C"
MAX_LATE_PPM = 1000
MAX_TIMES_RESIDENCE = 2.0
PORTS = Ports()


@dataclass(frozen=True, slots=True)
class Programs:
    """The compiled reference programs of a run."""

    relay: Path
    echo: Path


def compile_programs(folder: Path) -> Programs:
    """Compile both programs into `folder`.

    Raises:
        LabError: no C compiler, or it refuses a source.
    """
    return Programs(compile_c("relay_rows", folder), compile_c("echo", folder))


def chains(programs: Programs, folder: Path) -> dict[str, Chain]:
    """Return both chains by name. Ours sends no probe and refuses no call for its load, because the other does neither.

    Our packet processes get real-time priority in a run as root, so the other chain is started with it.
    """
    pools = folder / "pools.json"
    pools.write_text(encode(PoolsDocument((_pool(),))))
    real_time = ("chrt", "--rr", "1")
    module = (sys.executable, "-m", "lab.faults.calls.rows.c_relay", str(programs.relay))
    return {
        OUR_CHAIN: Chain(OURS.relay, OURS.echo, {"POOL_CONFIG": str(pools), "ADMISSION": "off"}),
        C_CHAIN: Chain(
            (*real_time, "env", f"PYTHONPATH={':'.join(sys.path)}", *module),
            (*real_time, str(programs.echo), str(ECHO_PORT)),
        ),
    }


async def compare(stage: Stage, result: RowResult) -> None:
    """Run both chains at each number of calls, in alternating order."""
    both = chains(compile_programs(stage.folder), stage.folder)
    for calls in CALLS:
        windows: dict[str, list[Window]] = {name: [] for name in both}
        for number in range(ROUNDS):
            for name in sorted(both, reverse=bool(number % 2)):
                own = stage.folder / f"{name}-{calls}-{number}"
                own.mkdir()
                found = await _one(stage, own, both[name], calls)
                windows[name] += found
                met = sum(window.met for window in found)
                stage.say(f"{calls} calls, round {number + 1}, {name}: {met} of {len(found)} windows Met")
        result.figures += tier_figures(calls, windows)


async def _one(stage: Stage, folder: Path, chain: Chain, calls: int) -> list[Window]:
    ramp = calls / CALLS_PER_SECOND
    watched = SETTLE_SECONDS + WINDOWS * WINDOW_SECONDS + ENDING_SECONDS
    async with running_rig(stage.roots, folder, PORTS, chain=chain) as rig:
        plan = Plan("held", calls, ramp + watched + ENDING_SECONDS, HELD_RTP_PORT, CALLS_PER_SECOND)
        async with rig.callers.calling(plan) as calling:

            async def answered() -> bool:
                return len(calling.outcome().answered) >= calls

            await wait_until(f"{calls} calls are answered", answered, UP_SECONDS)
            found = await _observe(rig, calls, watched)
            outcome = await calling.finish(watched + GRACE_SECONDS)
    if len(outcome.talked) < calls:
        raise LabError(f"{len(outcome.talked)} of {calls} calls talked to their end: {folder}")
    return found


async def _observe(rig: Rig, calls: int, seconds: int) -> list[Window]:
    observer = RowObserver(rig.relay.pid, SlaLimits())
    await asyncio.sleep(SETTLE_SECONDS)
    begin = int(time.time()) + 1
    await observer.watch(seconds - SETTLE_SECONDS)
    if observer.streams < calls:
        raise LabError(f"{observer.streams} streams of {calls} calls are in the relay's rows")
    return observer.windows(begin, WINDOWS, calls)


def tier_figures(calls: int, windows: Mapping[str, Sequence[Window]]) -> list[Figure]:
    """Return both chains' figures, with the bounds of ours."""
    ours, theirs = windows[OUR_CHAIN], windows[C_CHAIN]
    met = {name: sum(window.met for window in each) for name, each in windows.items()}
    late, late_there = _late_ppm(ours), _late_ppm(theirs)
    residence, residence_there = _residence_p99_us(ours), _residence_p99_us(theirs)
    times = residence / residence_there if residence and residence_there else None
    return [
        Figure(
            f"{calls} calls: windows Met, of {len(ours)}",
            str(met[OUR_CHAIN]),
            f">= {met[C_CHAIN]} (C)",
            bool(ours) and met[OUR_CHAIN] >= met[C_CHAIN],
        ),
        Figure(
            f"{calls} calls: late by the relay (ppm)",
            _text(late, "{:.0f}"),
            f"<= {MAX_LATE_PPM} (C: {_text(late_there, '{:.0f}')})",
            late is not None and late <= MAX_LATE_PPM,
        ),
        Figure(
            f"{calls} calls: residence p99 (µs)",
            _text(residence, "{:.0f}"),
            f"<= {MAX_TIMES_RESIDENCE:g} x C (C: {_text(residence_there, '{:.0f}')})",
            times is not None and times <= MAX_TIMES_RESIDENCE,
        ),
    ]


def _late_ppm(windows: Sequence[Window]) -> float | None:
    packets = sum(window.packets for window in windows)
    return sum(window.late_by_relay for window in windows) / packets * 1_000_000 if packets else None


def _residence_p99_us(windows: Sequence[Window]) -> float | None:
    together = Histogram()
    for window in windows:
        together.merge(window.residence)
    p99_ns = together.quantile_ns(990)
    return None if p99_ns is None else p99_ns / 1000


def _text(value: float | None, form: str) -> str:
    return "not measured" if value is None else form.format(value)


def _pool() -> PoolEntry:
    return PoolEntry(
        name="tiers",
        namespace="chaos",
        uid="tiers",
        generation=1,
        nodes=(NodeAssignment(NODE, LOOPBACK),),
        port_range=PortRange(PORTS.first, PORTS.last),
        echo=EchoTarget(LOOPBACK, ECHO_PORT),
        probe=ProbeSettings(enabled=False),
    )


SECONDS_A_RUN = 100
TIERS = Row(
    "tiers",
    "the original's tiers at 30 and 100 calls, beside an echo and a relay in C",
    len(CALLS) * ROUNDS * 2 * SECONDS_A_RUN,
    compare,
)
