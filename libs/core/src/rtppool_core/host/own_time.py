"""CPU time of the product's own processes inside a span, from readings of their clocks at a few moments.

A reading at the span's begin does not exist: it begins unexpectedly. The latest reading before it is some milliseconds
old, so the expected share of each process is taken off for the time between. That share is a median: a process that
works in bursts usually does not run. A process that ran until the latest reading is expected to go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

# One reading every third beat, for about two seconds.
MAX_READINGS = 168
# The usual share is that of the last intervals, about half a second.
MAX_SHARES = 41
# A process that ran for less than this share of a span does not explain it.
MIN_SHARE = 1 / 16


class Reading(NamedTuple):
    """CPU clocks of processes at one moment, in ns."""

    at_ns: int
    pids: tuple[int, ...]
    clocks: Sequence[int]

    def by_pid(self) -> Mapping[int, int]:
        """Return the clocks by process."""
        return dict(zip(self.pids, self.clocks, strict=True))


class ClockHistory:
    """The latest readings, oldest first."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=MAX_READINGS)

    def add(self, reading: Reading) -> None:
        """Add a reading."""
        self._readings.append(reading)

    def ran_ns(self, start_ns: int, end: Reading, is_here: Callable[[int], bool]) -> int:
        """Return how long processes ran on a processor from `start_ns` to the reading `end`, at most the whole span.

        `is_here` tells of a process whether it ran on that processor. A process without an earlier reading, or that
        ran for less than `MIN_SHARE` of the span, does not count.
        """
        if not self._readings:
            return 0
        at = self._latest(start_ns)
        before = self._readings[at]
        unread_ns = max(0, start_ns - before.at_ns)
        span_ns = end.at_ns - start_ns
        clocks = before.by_pid()
        ran_ns = 0
        for pid, clock in end.by_pid().items():
            used_ns = clock - clocks.get(pid, clock)
            if used_ns > span_ns * MIN_SHARE and is_here(pid):
                used_ns -= round(self._expected_share(pid, at) * unread_ns)
                ran_ns += used_ns if used_ns > span_ns * MIN_SHARE else 0
        return min(ran_ns, span_ns)

    def _latest(self, until_ns: int) -> int:
        """Return the place of the latest reading until a time; where all are younger, of the oldest."""
        places = range(len(self._readings) - 1, 0, -1)
        return next((at for at in places if self._readings[at].at_ns <= until_ns), 0)

    def _expected_share(self, pid: int, at: int) -> float:
        """Return the share of a processor that a process uses after the reading at this place.

        It is that of the interval before, and at least the median of the latest intervals.
        """
        shares: list[float] = []
        later: tuple[int, int] | None = None
        for reading in islice(reversed(self._readings), len(self._readings) - 1 - at, None):
            if pid not in reading.pids or len(shares) == MAX_SHARES:
                break
            clock = reading.clocks[reading.pids.index(pid)]
            if later is not None and later[0] > reading.at_ns:
                shares.append((later[1] - clock) / (later[0] - reading.at_ns))
            later = reading.at_ns, clock
        return min(1.0, max(shares[0], median(shares))) if shares else 0.0


def median(values: list[float]) -> float:
    """Return the lower median. The standard library's module would cost each heartbeat a megabyte."""
    return sorted(values)[(len(values) - 1) // 2]
