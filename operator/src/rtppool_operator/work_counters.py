"""Counters of the operator's own work, for /metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

ROUND_BOUNDS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Label values of published metrics, so they keep their names.
CONFIGURE, REPORT, POLL = "steer", "listen", "poll"


@dataclass(slots=True)
class Durations:
    """Durations of the rounds of one loop: counts by upper bound in seconds, and their sum."""

    total_seconds: float = 0.0
    _by_bound: list[int] = field(default_factory=lambda: [0] * (len(ROUND_BOUNDS_SECONDS) + 1))

    def add(self, seconds: float) -> None:
        """Add a round."""
        self.total_seconds += seconds
        self._by_bound[bisect_left(ROUND_BOUNDS_SECONDS, seconds)] += 1

    def cumulative(self) -> Iterable[tuple[str, int]]:
        """Return (upper bound, rounds up to it), cumulative as in Prometheus; the last bound is `+Inf`."""
        return zip((*map(str, ROUND_BOUNDS_SECONDS), "+Inf"), accumulate(self._by_bound), strict=True)


@dataclass(slots=True)
class WorkCounters:
    """Totals since the start, and the last round in the others. `errors` are by action.

    `conditions` has the status of each condition (`True`, `False`, `Unknown`) by type, by `namespace/name` of the pool.
    """

    cycles: int = 0
    failed_cycles: int = 0
    config_writes: int = 0
    annotations: int = 0
    nudges: int = 0
    status_writes: int = 0
    events: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    rounds: dict[str, Durations] = field(default_factory=lambda: {name: Durations() for name in (CONFIGURE, REPORT)})
    pools: int = 0
    relays: int = 0
    last_cycle_seconds: float | None = None
    conditions: dict[str, dict[str, str]] = field(default_factory=dict)
