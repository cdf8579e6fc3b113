"""The number of calls that each relay carries: steps of a ladder until one fails twice.

A step holds without loss and with a p99 within 20 ms, the SLA's limit at 100 calls. Without that limit the measurement
would be one of buffers: a socket's buffer holds seconds of a call before an overloaded relay loses a packet.
"""

from __future__ import annotations

from lab.bench.load.load import Load, quantile
from lab.bench.load.traffic import through
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.relays import OURS, C, StartRelay, relays

LADDER = range(300, 1401, 100)
EXPECTED_STEPS = 7
SECONDS_AROUND = 12.0
TRIES = 2
MAX_P99_NS = 20_000_000


def estimated_seconds(session: Session) -> float:
    """Return the duration of the steps that relays reach on two cores."""
    return len(relays(session)) * EXPECTED_STEPS * (session.seconds + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Climb the ladder with each relay."""
    carried = {name: await _climb(session, name, start) for name, start in relays(session).items()}
    note = f"of {LADDER.start} to {LADDER[-1]} in steps of {LADDER.step}, {session.seconds:g} s each, p99 within 20 ms"
    figures = [Figure(f"lossless calls: {name}", [calls], "calls", note=note) for name, calls in carried.items()]
    figures.insert(0, Figure("lossless calls ÷ C relay", [carried[OURS] / carried[C]] if carried[C] else []))
    return Result(figures)


def _holds(load: Load) -> bool:
    return load.lost == 0 and quantile(load.round_trips_ns(from_schedule=True), 990) <= MAX_P99_NS


async def _climb(session: Session, name: str, start: StartRelay) -> int:
    carried = 0
    for calls in LADDER:
        session.say(f"{name}: {calls} calls")
        for _ in range(TRIES):
            if _holds((await through(session, start, calls, session.seconds)).load):
                break
        else:
            return carried
        carried = calls
    return carried
