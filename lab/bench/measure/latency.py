"""Round trips at 101 calls through our relay and through the C relay, from the time each packet was due."""

from __future__ import annotations

from lab.bench.load.load import quantile
from lab.bench.load.traffic import NS_PER_US, Traffic, through
from lab.bench.measure.interleaved import interleaved
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.session import Session
from lab.bench.subjects.relays import OURS, C, relays

CALLS = 101
SECONDS_AROUND = 7.0
TARGETS = {500: 1.5, 990: 2.0}


def estimated_seconds(session: Session) -> float:
    """Return the duration of all rounds."""
    return (session.rounds + 1) * 2 * (session.seconds + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Measure interleaved rounds of both relays."""
    starts = relays(session)
    found = await interleaved(session, [OURS, C], lambda name: through(session, starts[name], CALLS, session.seconds))
    figures = [
        Figure(
            f"p{per_mille // 10} at {CALLS} calls ÷ through the C relay",
            ratios(_quantiles(found[OURS], per_mille), _quantiles(found[C], per_mille)),
            target=target,
        )
        for per_mille, target in TARGETS.items()
    ]
    for since, from_schedule in (("due", True), ("sent", False)):
        figures.extend(
            Figure(
                f"p{per_mille // 10} at {CALLS} calls since {since}: {name}",
                _quantiles(found[name], per_mille, from_schedule=from_schedule),
                "µs",
            )
            for name in found
            for per_mille in TARGETS
        )
    lost = [traffic.load.lost for traffic in found[OURS]]
    figures.append(Figure(f"lost at {CALLS} calls", lost, "packets", 0, "worst", breaks=True))
    return Result(figures)


def _quantiles(rounds: list[Traffic], per_mille: int, *, from_schedule: bool = True) -> list[float]:
    return [
        quantile(traffic.load.round_trips_ns(from_schedule=from_schedule), per_mille) / NS_PER_US for traffic in rounds
    ]
