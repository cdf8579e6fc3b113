"""Readings of the wall clock together with CLOCK_MONOTONIC_RAW, which is neither stepped nor slewed."""

from __future__ import annotations

import time
from typing import NamedTuple

# A reading that another thread interrupted is repeated.
MAX_TRIES = 5
GOOD_ENOUGH_NS = 1_000


class ClockReading(NamedTuple):
    """Both clocks at one moment, in ns. The moments differ by `error_ns` at most."""

    wall_ns: int
    raw_ns: int
    error_ns: int = 0


def read_clocks() -> ClockReading:
    """Read both clocks, and return the tightest of a few tries."""
    best = _read()
    for _ in range(MAX_TRIES - 1):
        if best.error_ns <= GOOD_ENOUGH_NS:
            break
        best = min(best, _read(), key=lambda reading: reading.error_ns)
    return best


def _read() -> ClockReading:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    wall = time.time_ns()
    half = (time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - before) // 2
    return ClockReading(wall, before + half, half)
