"""Which packets left for Asterisk late, and whose milliseconds they are.

Judged at y, against the RTP clock. Excess = source excess (arrival against the call's own baseline, de-skewed)
+ residence in the relay + round trip above its own baseline. Both baselines are 5th percentiles over the last 30 s: a
minimum would call nearly every packet of a bursty sender late. The largest part names the cause.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BASELINE_PERCENT = 5
BASELINE_NS = 30_000_000_000
TIMESTAMP_JUMP_NS = 500_000_000
SILENCE_NS = 100_000_000
SKEW_NEEDS_NS = 10_000_000_000
SKEW_POINT_NS = 1_000_000_000
MOST_SKEW_PPM = 500.0

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LateVerdict:
    """For each packet: was it late, and by the largest part of its excess."""

    source: Flags
    relay: Flags
    echo: Flags


@dataclass(slots=True)
class LatenessBaseline:
    """Baselines of one stream. Times in ns; `clock_rate_hz` is the RTP clock's."""

    clock_rate_hz: int
    threshold_ns: int
    skew_ppm: float = 0.0
    _ticks: int = 0
    _last_timestamp: int | None = None
    _last_transit: int = 0
    _last_arrival: int = 0
    _arrivals: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    _transits: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    _round_trips: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    _round_trip_times: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    _skew_points: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=60))

    def restart(self) -> None:
        """Forget the source's baseline: a new stream, a jump, or silence. The echo's stays."""
        self._last_timestamp = None
        self._arrivals = np.zeros(0, np.int64)
        self._transits = np.zeros(0, np.int64)
        self._skew_points.clear()
        self.skew_ppm = 0.0

    def judge(
        self, arrivals: Int64s, timestamps: Int64s, markers: Flags, round_trips: Int64s, residences: Int64s
    ) -> LateVerdict:
        """Judge answered packets of one stream, in order of their sequence."""
        count = arrivals.size
        late = LateVerdict(np.zeros(count, np.bool_), np.zeros(count, np.bool_), np.zeros(count, np.bool_))
        if count == 0:
            return late
        transits = self._transit(arrivals, timestamps)
        for start, end in self._segments(arrivals, transits, markers):
            part = slice(start, end)
            self._judge_segment(arrivals[part], transits[part], round_trips[part], residences[part], late, start)
        self._last_transit, self._last_arrival = int(transits[-1]), int(arrivals[-1])
        return late

    def _transit(self, arrivals: Int64s, timestamps: Int64s) -> Int64s:
        """Arrival less RTP time since the anchor, in ns; the timestamp's wraps are taken out."""
        first = int(timestamps[0]) if self._last_timestamp is None else self._last_timestamp
        steps = np.diff(timestamps, prepend=first)
        steps = (steps + (1 << 31)) % (1 << 32) - (1 << 31)
        ticks = self._ticks + np.cumsum(steps)
        self._ticks = int(ticks[-1])
        fresh = self._last_timestamp is None
        self._last_timestamp = int(timestamps[-1])
        transits: Int64s = arrivals - ticks * 1_000_000_000 // self.clock_rate_hz
        if fresh:
            self._last_transit, self._last_arrival = int(transits[0]), int(arrivals[0])
        return transits

    def _segments(self, arrivals: Int64s, transits: Int64s, markers: Flags) -> list[tuple[int, int]]:
        """Runs between re-anchorings: a timestamp jump, or a marker after silence."""
        jumps = np.abs(np.diff(transits, prepend=self._last_transit)) > TIMESTAMP_JUMP_NS
        resumes = markers & (np.diff(arrivals, prepend=self._last_arrival) > SILENCE_NS)
        breaks = np.flatnonzero(jumps | resumes).tolist()
        edges = [0, *[at for at in breaks if at > 0], transits.size]
        if 0 in breaks:
            self._forget_transits()
        return list(pairwise(edges))

    def _forget_transits(self) -> None:
        self._arrivals = np.zeros(0, np.int64)
        self._transits = np.zeros(0, np.int64)
        self._skew_points.clear()

    def _judge_segment(
        self, arrivals: Int64s, transits: Int64s, round_trips: Int64s, residences: Int64s, late: LateVerdict, start: int
    ) -> None:
        if start > 0:
            self._forget_transits()
        self._remember(arrivals, transits, round_trips)
        source = self._source_excess(arrivals, transits)
        echo = round_trips - np.percentile(self._round_trips, BASELINE_PERCENT)
        is_late = source + residences + echo > self.threshold_ns
        largest = np.argmax(np.vstack((source, residences, echo)), axis=0)
        end = start + arrivals.size
        late.source[start:end] = is_late & (largest == 0)
        late.relay[start:end] = is_late & (largest == 1)
        late.echo[start:end] = is_late & (largest == 2)  # noqa: PLR2004 third of the three parts

    def _remember(self, arrivals: Int64s, transits: Int64s, round_trips: Int64s) -> None:
        oldest = int(arrivals[-1]) - BASELINE_NS
        self._arrivals = np.concatenate((self._arrivals, arrivals))
        self._transits = np.concatenate((self._transits, transits))
        kept = int(np.searchsorted(self._arrivals, oldest))
        self._arrivals, self._transits = self._arrivals[kept:], self._transits[kept:]
        self._round_trip_times = np.concatenate((self._round_trip_times, arrivals))
        self._round_trips = np.concatenate((self._round_trips, round_trips))
        kept = int(np.searchsorted(self._round_trip_times, oldest))
        self._round_trip_times, self._round_trips = self._round_trip_times[kept:], self._round_trips[kept:]
        self._measure_skew(int(arrivals[-1]))

    def _source_excess(self, arrivals: Int64s, transits: Int64s) -> Floats:
        reference = int(self._arrivals[-1])
        slope = self.skew_ppm * 1e-6
        baseline = np.percentile(self._transits - slope * (self._arrivals - reference), BASELINE_PERCENT)
        excess: Floats = transits - slope * (arrivals - reference) - baseline
        return excess

    def _measure_skew(self, now_ns: int) -> None:
        """One point a second, the low percentile of that second's transits; the slope is their Theil-Sen median."""
        if self._skew_points and now_ns - self._skew_points[-1][0] < SKEW_POINT_NS:
            return
        recent = self._transits[np.searchsorted(self._arrivals, now_ns - SKEW_POINT_NS) :]
        self._skew_points.append((float(now_ns), float(np.percentile(recent, BASELINE_PERCENT))))
        times, levels = np.array(self._skew_points).T
        if times[-1] - times[0] < SKEW_NEEDS_NS:
            return
        later, earlier = np.triu_indices(times.size, 1)[::-1]
        slopes = (levels[later] - levels[earlier]) / (times[later] - times[earlier])
        self.skew_ppm = float(np.clip(np.median(slopes) * 1e6, -MOST_SKEW_PPM, MOST_SKEW_PPM))
