"""Counters of the operator's own work, for /metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import Histogram

ROUND_BOUNDS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Label values of published metrics, so they keep their names.
CONFIGURE, REPORT, POLL = "steer", "listen", "poll"


def _rounds() -> Histogram:
    rounds = Histogram(
        "rtp_operator_round_seconds", "Duration of a round.", ["round"], buckets=ROUND_BOUNDS_SECONDS, registry=None
    )
    for name in (CONFIGURE, REPORT):
        rounds.labels(name)
    return rounds


@dataclass(slots=True)
class WorkCounters:
    """Totals since the start by metric, errors by action, durations of rounds, and the last round in the others."""

    totals: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    rounds: Histogram = field(default_factory=_rounds)
    pools: int = 0
    relays: int = 0
    last_cycle_seconds: float | None = None
