"""How long something took, call by call, since the relay started: quantiles and a histogram's buckets. Pure."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from rtppool_core.contract.report import DurationsReport
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import NS_PER_US
from rtppool_relay.streams.slices import microseconds

# In µs. From an echo on the same node to the limit of a call's set-up; 5 ms and 40 ms are promises.
EDGES_MICROSECONDS = (
    *(500, 1_000, 2_000, 3_000, 5_000, 8_000, 10_000, 15_000, 20_000, 30_000, 40_000, 50_000),
    *(75_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000),
)


class CallDurations:
    """One value a call, in ns."""

    def __init__(self) -> None:
        self._values = Histogram()
        self._counts = [0] * (len(EDGES_MICROSECONDS) + 1)
        self._sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one; a value on an edge belongs below it."""
        self._values.record(duration_ns)
        self._counts[bisect_left(EDGES_MICROSECONDS, duration_ns / NS_PER_US)] += 1
        self._sum_ns += duration_ns

    def report(self) -> DurationsReport | None:
        """None while there is none."""
        p50, p95, p99, longest = (
            microseconds(value)
            for value in (*(self._values.quantile_ns(per_mille) for per_mille in (500, 950, 990)), self._values.max_ns)
        )
        if p50 is None or p95 is None or p99 is None or longest is None:
            return None
        cumulative = tuple(accumulate(self._counts))
        return DurationsReport(
            samples=cumulative[-1],
            sum_microseconds=self._sum_ns // NS_PER_US,
            p50_microseconds=p50,
            p95_microseconds=p95,
            p99_microseconds=p99,
            max_microseconds=longest,
            buckets=tuple(zip(EDGES_MICROSECONDS, cumulative[:-1], strict=True)),
        )
