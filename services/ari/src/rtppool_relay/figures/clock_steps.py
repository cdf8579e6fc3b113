"""Steps of the wall clock, detected against the monotonic one. Kernel receive stamps are wall-clock times."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# A slewed clock moves at most 500 ppm: 50 µs between comparisons 0.1 s apart.
MIN_STEP_NS = 500_000
MAX_SPANS = 32


@dataclass(slots=True)
class ClockSteps:
    """The number of steps, and the latest wall-clock spans in which one happened."""

    steps: int = 0
    _offset_ns: int | None = None
    _last_wall_ns: int = 0
    _spans: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MAX_SPANS))

    def compare(self, wall_ns: int, monotonic_ns: int) -> bool:
        """Compare both clocks, about ten times a second; True when the wall clock stepped since the last comparison."""
        offset = wall_ns - monotonic_ns
        stepped = self._offset_ns is not None and abs(offset - self._offset_ns) > MIN_STEP_NS
        if stepped:
            self.steps += 1
            self._spans.append((min(self._last_wall_ns, wall_ns), max(self._last_wall_ns, wall_ns)))
        self._offset_ns = offset
        self._last_wall_ns = wall_ns
        return stepped

    def spans_step(self, starts_ns: NDArray[np.int64], ends_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each interval whether it touches a span with a step."""
        touching = np.zeros(starts_ns.size, np.bool_)
        for first, last in self._spans:
            touching |= (ends_ns >= first) & (starts_ns <= last)
        return touching
