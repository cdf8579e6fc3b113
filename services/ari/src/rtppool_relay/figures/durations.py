"""Times as Prometheus counts them: in buckets, since the relay started.

Prometheus interpolates a quantile inside its bucket, so it is off by the bucket's width at most. Round trips have
buckets narrow enough for that. An edge of the SLA's tiers stays an edge, so that a share above it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Those of the SLA's tiers; below them doubling from 50 µs.
EDGES_US = (
    *(50 * 2**step for step in range(7)),
    *(5_000, 8_000, 10_000, 12_000, 15_000, 18_000, 20_000, 22_000),
    *(50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000),
)
MAX_EDGE_RATIO = 1.1
MIN_NARROW_US, MAX_NARROW_US = 100, 500_000


def narrow(edges_us: tuple[int, ...]) -> tuple[int, ...]:
    """Add edges from `MIN_NARROW_US` to `MAX_NARROW_US`, none above `MAX_EDGE_RATIO` times the one before."""
    spans = [(low, high) for low, high in pairwise(edges_us) if low >= MIN_NARROW_US and high <= MAX_NARROW_US]
    return tuple(sorted({*edges_us, *(edge for low, high in spans for edge in _between(low, high))}))


def _between(low: int, high: int) -> list[int]:
    """Divide the span into the fewest equal ratios, at whole µs."""
    steps = 1
    while high > low * MAX_EDGE_RATIO**steps:
        steps += 1
    return [round(low * (high / low) ** (step / steps)) for step in range(1, steps)]


ROUND_TRIP_EDGES_US = narrow(EDGES_US)


@dataclass(slots=True)
class DurationCounts:
    """A Prometheus histogram's counts: one for each edge and one above."""

    edges_us: tuple[int, ...] = EDGES_US
    sum_ns: int = 0
    counts: NDArray[np.int64] = field(init=False)
    _edges_ns: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with zeros."""
        self.counts = np.zeros(len(self.edges_us) + 1, np.int64)
        self._edges_ns = np.array(self.edges_us, np.int64) * 1000

    def observe(self, values_ns: NDArray[np.int64]) -> None:
        """Count every value. A value on an edge belongs to the bucket below it."""
        self.counts += np.bincount(np.searchsorted(self._edges_ns, values_ns, side="left"), minlength=self.counts.size)
        self.sum_ns += int(values_ns.sum())


def durations_of(name: str) -> DurationCounts:
    """Return empty counts for the times of this name in the table of figures."""
    return DurationCounts(ROUND_TRIP_EDGES_US if name == "round_trip" else EDGES_US)
