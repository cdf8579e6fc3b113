"""How many calls each relay carries without losing a packet: up a ladder until a step loses twice."""

from __future__ import annotations

from rtppool_bench.figures import Figure, Result
from rtppool_bench.relays import OURS, C, StartRelay, relays
from rtppool_bench.session import Session
from rtppool_bench.traffic import through

LADDER = range(300, 1401, 100)
EXPECTED_STEPS = 7
SECONDS_AROUND = 12.0
TRIES = 2


def estimated_seconds(session: Session) -> float:
    """As far as relays went on two cores."""
    return len(relays(session)) * EXPECTED_STEPS * (session.seconds + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """One climb for each relay."""
    carried = {name: await _climb(session, name, start) for name, start in relays(session).items()}
    note = f"of {LADDER.start} to {LADDER[-1]} in steps of {LADDER.step}, {session.seconds:g} s each"
    figures = [Figure(f"lossless calls: {name}", [calls], "calls", note=note) for name, calls in carried.items()]
    figures.insert(0, Figure("lossless calls ÷ C relay", [carried[OURS] / carried[C]] if carried[C] else []))
    return Result(figures)


async def _climb(session: Session, name: str, start: StartRelay) -> int:
    carried = 0
    for calls in LADDER:
        session.say(f"{name}: {calls} calls")
        for _ in range(TRIES):
            if (await through(session, start, calls, session.seconds)).load.lost == 0:
                break
        else:
            return carried
        carried = calls
    return carried
