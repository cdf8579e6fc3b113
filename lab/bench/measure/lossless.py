"""The number of calls that each relay carries, on a ladder in steps of 25: the median of three interleaved climbs.

A step holds without loss and with a p99 within 20 ms, the SLA's limit at 100 calls. Without that limit the measurement
would be one of buffers: a socket's buffer holds seconds of a call before an overloaded relay loses a packet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from lab.bench.load.load import Load, quantile
from lab.bench.load.traffic import through
from lab.bench.measure.interleaved import interleaved
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.session import Session
from lab.bench.subjects.relays import GO, OURS, RTPENGINE, C, StartRelay, relays

LADDER = range(200, 1401, 25)
CLIMBS = 3
# Halving a ladder of 49 steps; half of the tried steps fail, and are tried twice.
EXPECTED_LOADS = 9
SECONDS, SECONDS_AROUND = 4.0, 8.0
TRIES = 2
MAX_P99_NS = 20_000_000
TARGETS = {C: 0.9, RTPENGINE: 1.0, GO: 0.9}


def estimated_seconds(session: Session) -> float:
    """Return the duration of all climbs."""
    return CLIMBS * len(relays(session)) * EXPECTED_LOADS * (SECONDS + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Climb the ladder with each relay."""
    starts = relays(session)
    climbs = replace(session, rounds=CLIMBS)
    found = await interleaved(climbs, list(starts), lambda name: _climb(session, name, starts[name]), warm_up=False)
    note = f"of {LADDER.start} to {LADDER[-1]} in steps of {LADDER.step}, {SECONDS:g} s each, p99 within 20 ms"
    return Result(
        [
            *(
                Figure(f"lossless calls ÷ {name}", ratios(found[OURS], found[name]), target=target, at_least=True)
                for name, target in TARGETS.items()
                if name in found
            ),
            *(Figure(f"lossless calls: {name}", calls, "calls", note=note) for name, calls in found.items()),
        ]
    )


async def highest_that_holds(ladder: Sequence[int], holds: Callable[[int], Awaitable[bool]]) -> int:
    """Return the highest step that holds, by halving; 0 where the first one fails.

    It takes for granted that no step holds above one that fails.
    """
    low, high = 0, len(ladder)
    while low < high:
        middle = (low + high) // 2
        if await holds(ladder[middle]):
            low = middle + 1
        else:
            high = middle
    return ladder[low - 1] if low else 0


async def _climb(session: Session, name: str, start: StartRelay) -> int:
    async def holds(calls: int) -> bool:
        for _ in range(TRIES):
            session.say(f"{name}: {calls} calls")
            if _is_lossless((await through(session, start, calls, SECONDS)).load):
                return True
        return False

    return await highest_that_holds(LADDER, holds)


def _is_lossless(load: Load) -> bool:
    return load.lost == 0 and quantile(load.round_trips_ns(from_schedule=True), 990) <= MAX_P99_NS
