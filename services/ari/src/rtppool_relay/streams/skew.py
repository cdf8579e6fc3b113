"""How much slower than ours a source's clock runs: the slope of its transits.

One point a second, the low percentile of that second's transits. The slope is their Theil-Sen median. It is an estimate
after 10 s. Before that it is provisional: it may excuse a drift, and is not published.

An estimate beyond `MAX_SKEW_PPM` is a clock that no oscillator has. It is clamped, and marked as clamped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

POINT_NS = 1_000_000_000
MAX_POINTS = 60
MIN_SPAN_NS = 10_000_000_000
# The slope changes slowly and costs a median over all pairs of points.
POINTS_PER_ESTIMATE = 5
MAX_SKEW_PPM = 500

Int64s = NDArray[np.int64]


@dataclass(slots=True)
class SkewEstimate:
    """The skew of one source. `ppm` is None until it is measured; `provisional_ppm` is used until then."""

    ppm: float | None = None
    clamped: bool = False
    provisional_ppm: float = 0.0
    _points: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MAX_POINTS))
    _points_since_estimate: int = 0

    def forget(self) -> None:
        """Begin anew with another source."""
        self.ppm, self.clamped = None, False
        self.restart()

    def restart(self) -> None:
        """Forget the points after a step of the source's timeline. The estimate stays."""
        self._points.clear()
        self._points_since_estimate, self.provisional_ppm = 0, 0.0

    def is_due(self, now_ns: int) -> bool:
        """Return whether a second has passed since the last point."""
        return not self._points or now_ns - self._points[-1][0] >= POINT_NS

    def add(self, now_ns: int, level_ns: int) -> None:
        """Add the level of the last second's transits."""
        self._points.append((now_ns, level_ns))
        self._points_since_estimate += 1
        spans_enough = now_ns - self._points[0][0] >= MIN_SPAN_NS
        if self.ppm is None and not spans_enough:
            self.provisional_ppm = _clamped(_slope_ppm(self._points)) if len(self._points) > 1 else 0.0
        elif spans_enough and (self.ppm is None or self._points_since_estimate >= POINTS_PER_ESTIMATE):
            self._points_since_estimate = 0
            slope = _slope_ppm(self._points)
            self.ppm, self.clamped = _clamped(slope), round(abs(slope)) > MAX_SKEW_PPM


def _clamped(slope_ppm: float) -> float:
    return max(-MAX_SKEW_PPM, min(MAX_SKEW_PPM, slope_ppm))


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    later, earlier = np.triu_indices(count, 1)[::-1]
    return later, earlier


def _slope_ppm(points: deque[tuple[int, int]]) -> float:
    times, levels = np.fromiter(chain.from_iterable(points), np.int64, 2 * len(points)).reshape(-1, 2).T
    later, earlier = _pairs(times.size)
    slopes = (levels[later] - levels[earlier]) / (times[later] - times[earlier])
    middle = slopes.size // 2
    slopes.partition(middle)
    return float(slopes[middle]) * 1e6
