"""By how much packets left for Asterisk behind the RTP clock, and which parts of it are the source's and the echo's.

A packet is measured at y, against the RTP clock. Excess = source excess (arrival against the call's own baseline,
de-skewed) + residence in the relay + round trip above its own baseline. Both baselines are of the last 30 s. The echo's
is the median, which packets on a faster path move only where they are half of all. The source's is the 5th percentile:
by a minimum nearly every packet of a bursty sender would be late, and by the median half of a burst would be early.

The talker's timeline steps at a jump of the timestamp and at a marker whose timestamp does not follow the clock. Where
the marker was lost, all packets are late by the same: such a level becomes the baseline after a second. No delay makes
a packet early, so an early one is a step at once. Asterisk makes such steps: after a digit its Opus decoder conceals
the missing sequence numbers with frames that it sends in one burst.

A talker follows a clock of its own, or the wall clock of this machine. During a slew the two differ, and a packet is
late only by both. Before the skew is measured, a packet is late only with and without the provisional one.

Columns hold many streams (`columns`). Only the baselines are computed stream by stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.streams.columns import StreamSpans, previous, wrapped_steps
from rtppool_relay.streams.skew import POINT_NS, SkewEstimate

SOURCE_BASELINE_PER_CENT = 5
ECHO_BASELINE_PER_CENT = 50
BASELINE_NS = 30_000_000_000
TIMESTAMP_JUMP_NS = 500_000_000
SILENCE_NS = 100_000_000
LEVEL_NS = 1_000_000_000
MIN_LEVEL_NS = 800_000_000
MIN_LEVEL_PACKETS = 5
# Arrivals of a longer time are judged in portions, so that each portion may show a level.
MAX_PORTION_NS = 1_500_000_000
# More than two clocks differ.
MAX_DRIFT_PPM = 1_000
MIN_HISTORY = 256

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lateness:
    """Excess of packets by source and echo, in ns.

    `variation_ns` is each packet's delay from Asterisk above the shortest of the last 30 s, de-skewed (PDV, RFC 5481).
    `anchors` number the stretches within which arrivals can be compared.
    """

    source_ns: Int64s
    echo_ns: Int64s
    variation_ns: Int64s
    anchors: Int64s


@dataclass(slots=True)
class LatenessBaseline:
    """Baselines of one stream. Times in ns; `clock_rate_hz` is the RTP clock's."""

    clock_rate_hz: int
    threshold_ns: int
    skew: SkewEstimate = field(default_factory=SkewEstimate)
    anchor: int = 0
    ticks: int = 0
    last_timestamp: int | None = None
    last_transit_ns: int = 0
    last_arrival_ns: int = 0
    last_marker: int = 0
    # Low percentile of the last second's transits, while they are neither all late nor all early; None before it.
    level_ns: int | None = None
    _level_at_ns: int = 0
    # Rows: arrival, transit, round trip, slewed. Valid from _start to _end; transits can be compared from _anchored on.
    _history: Int64s = field(default_factory=lambda: np.empty((4, MIN_HISTORY), np.int64))
    _start: int = 0
    _end: int = 0
    _anchored: int = 0

    @property
    def beside_ns(self) -> int:
        """How far off its level a packet is beside it: half of the lateness that counts."""
        return self.threshold_ns // 2

    def restart(self) -> None:
        """Forget the source's baseline after a new stream or a step of the clock. The echo's stays."""
        self.last_timestamp = None
        self.skew.forget()
        self.re_anchor()

    def re_anchor(self, packets_back: int = 0) -> None:
        """Begin a new anchor after a step of the talker's timeline: earlier arrivals can't be compared."""
        self.anchor += 1
        self._anchored = self._end - packets_back
        self.level_ns = None
        self.skew.restart()

    def excess(
        self,
        arrivals: Int64s,
        transits: Int64s,
        round_trips: Int64s,
        slewed: Int64s | int,
        out: tuple[Int64s, Int64s, Int64s],
    ) -> None:
        """Add packets of one anchor, and write source excess, echo excess and variation to `out`.

        `slewed` is by how much the wall clock has been slewed, in ns since any moment.
        """
        self._remember(arrivals, transits, round_trips, slewed)
        source, echo, variation = out
        kept = self._history[:, self._start : self._end]
        echo[:] = round_trips - _percentile(kept[2], ECHO_BASELINE_PER_CENT)
        kept_arrivals, compared, _, kept_slewed = kept[:, self._anchored - self._start :]
        now_ns = int(arrivals[-1])
        was_slewed = bool(kept_slewed[0] != kept_slewed[-1])
        if not was_slewed:
            self._measure_skew(now_ns)
        if self.skew.ppm:
            compared = _without_drift(compared, kept_arrivals, now_ns, self.skew.ppm)
        own = compared[compared.size - arrivals.size :]
        source[:] = own - _low(compared)
        variation[:] = own - compared.min()
        others = [compared + kept_slewed] if was_slewed else []
        if self.skew.ppm is None and self.skew.provisional_ppm:
            others.append(_without_drift(compared, kept_arrivals, now_ns, self.skew.provisional_ppm))
        for other in others:
            own = other[other.size - arrivals.size :]
            np.minimum(source, own - _low(other), out=source)
            np.minimum(variation, own - other.min(), out=variation)

    def divide(self, arrivals: Int64s, transits: Int64s, first: int, last: int) -> tuple[tuple[slice, int | None], ...]:
        """Divide the packets from `first` to `last` where they leave the level.

        Each part is given with the number of packets before it that begin a new anchor with it; None: the anchor stays.
        """
        whole = slice(first, last)
        level = self.level_ns
        if level is not None and -self.beside_ns <= int(transits[last - 1]) - level <= self.beside_ns:
            return ((whole, None),)
        left = self._leave_level(arrivals[whole], transits[whole])
        if left is None:
            return ((whole, None),)
        begin, holds = left
        if begin <= 0:
            return ((whole, -begin if holds else None),)
        middle = first + begin
        return ((slice(first, middle), None), (slice(middle, last), 0 if holds else None))

    def _leave_level(self, arrivals: Int64s, transits: Int64s) -> tuple[int, bool] | None:
        """Return where further packets leave the level: from there on all are late, or early, by the same.

        The place counts from the first of them, and is negative where it lies among packets before them. The flag is
        set where the new level has held for a second. None: the last of them are on the level.
        """
        level, beside = int(transits[0]) if self.level_ns is None else self.level_ns, self.beside_ns
        last = transits[-MIN_LEVEL_PACKETS:].tolist()
        low, high = min(last), max(last)
        moved = max(low - level, level - high)
        if moved <= beside or high - low > max(beside, moved // 2):
            return None
        before = self._history[:2, self._anchored : self._end]
        times, levels = np.concatenate((before, (arrivals, transits)), axis=1)
        margin = max(beside, moved // 4)
        outside = np.flatnonzero((levels < low - margin) | (levels > high + margin))
        begin = int(outside[-1]) + 1 if outside.size else 0
        held = levels[begin:][times[begin:] >= times[-1] - LEVEL_NS]
        holds = (
            held.size >= MIN_LEVEL_PACKETS
            and times[-1] - times[begin] >= MIN_LEVEL_NS
            and np.ptp(held) <= max(beside, moved // 2)
        )
        return begin - before.shape[1], bool(holds)

    def _keep_level(self, low_ns: int, now_ns: int) -> None:
        """Let the level follow the last second, unless that jumps: a new level begins with a new anchor."""
        follows = self.level_ns is None or abs(low_ns - self.level_ns) <= self.beside_ns
        if follows or now_ns - self._level_at_ns > BASELINE_NS:
            self.level_ns, self._level_at_ns = low_ns, now_ns

    def _remember(self, arrivals: Int64s, transits: Int64s, round_trips: Int64s, slewed: Int64s | int) -> None:
        end = self._end + arrivals.size
        if end > self._history.shape[1]:
            self._make_room(arrivals.size)
            end = self._end + arrivals.size
        self._history[0, self._end : end] = arrivals
        self._history[1, self._end : end] = transits
        self._history[2, self._end : end] = round_trips
        self._history[3, self._end : end] = slewed
        self._end = end
        kept = self._history[0, self._start : end - arrivals.size]
        self._start += int(np.searchsorted(kept, arrivals[-1] - BASELINE_NS))
        self._anchored = max(self._anchored, self._start)

    def _make_room(self, count: int) -> None:
        kept = self._end - self._start
        size = self._history.shape[1]
        while size < 2 * (kept + count):
            size *= 2
        history = np.empty((4, size), np.int64)
        history[:, :kept] = self._history[:, self._start : self._end]
        self._history, self._anchored = history, self._anchored - self._start
        self._start, self._end = 0, kept

    def _measure_skew(self, now_ns: int) -> None:
        if not self.skew.is_due(now_ns):
            return
        arrivals, transits = self._history[:2, self._anchored : self._end]
        low = int(_low(transits[np.searchsorted(arrivals, now_ns - POINT_NS) :]))
        self._keep_level(low, now_ns)
        self.skew.add(now_ns, low)


def _without_drift(transits: Int64s, arrivals: Int64s, now_ns: int, skew_ppm: float) -> Int64s:
    drift = (arrivals - now_ns) * (skew_ppm * 1e-6)
    return transits - drift.astype(np.int64)


def _percentile(values: Int64s, per_cent: int) -> np.int64:
    """Return a percentile, nearest rank."""
    rank = -(-per_cent * values.size // 100) - 1
    found: np.int64 = np.partition(values, rank)[rank]
    return found


def _low(transits: Int64s) -> np.int64:
    return _percentile(transits, SOURCE_BASELINE_PER_CENT)


def measure_lateness(
    baselines: Sequence[LatenessBaseline],
    spans: StreamSpans,
    arrivals: Int64s,
    timestamps: Int64s,
    markers: Flags,
    round_trips: Int64s,
    slewed: Int64s | int = 0,
) -> Lateness:
    """Measure answered packets in order of their sequence. `baselines` are in the order of the spans.

    `slewed` is by how much the wall clock has been slewed at each arrival, or at all of them.
    """
    transits = _transits(baselines, spans, arrivals, timestamps)
    breaks = _breaks(baselines, spans, arrivals, transits, markers)
    _break_where_early(baselines, spans, arrivals, transits, breaks)
    out = np.empty((3, arrivals.size), np.int64)
    anchors = np.empty(arrivals.size, np.int64)
    ends = spans.ends - 1
    divided = set(spans.ordinals[breaks].tolist())
    divided |= set(np.flatnonzero(arrivals[ends] - arrivals[spans.starts] > MAX_PORTION_NS).tolist())
    for at, (baseline, (_, start, end)) in enumerate(zip(baselines, spans, strict=True)):
        places = (np.flatnonzero(breaks[start:end]) + start).tolist() if at in divided else []
        for first, last in _portions(arrivals, [start, *places, end]) if at in divided else ((start, end),):
            if first in places:
                baseline.re_anchor()
            for part, packets_back in baseline.divide(arrivals, transits, first, last):
                if packets_back is not None:
                    baseline.re_anchor(packets_back)
                parts: Any = tuple(out[:, part])
                moved = slewed if isinstance(slewed, int) else slewed[part]
                baseline.excess(arrivals[part], transits[part], round_trips[part], moved, parts)
                anchors[part] = baseline.anchor
    source, echo, variation = out
    return Lateness(source, echo, variation, anchors)


def _break_where_early(
    baselines: Sequence[LatenessBaseline], spans: StreamSpans, arrivals: Int64s, transits: Int64s, breaks: Flags
) -> None:
    """Flag packets that are early by more than the threshold, against the level or the latest flagged packet.

    A level may fall by `MAX_DRIFT_PPM`, because the clocks differ.
    """
    lowest = np.minimum.reduceat(transits, spans.starts).tolist()
    for baseline, low, (_, start, end) in zip(baselines, lowest, spans, strict=True):
        level = baseline.level_ns
        if level is None or low >= level - baseline.threshold_ns:
            continue
        drifting = transits[start:end] + (arrivals[start:end] - arrivals[start]) * MAX_DRIFT_PPM // 1_000_000
        for at, transit in enumerate(drifting.tolist(), start):
            if breaks[at] or transit < level - baseline.threshold_ns:
                breaks[at], level = True, transit


def _portions(arrivals: Int64s, bounds: list[int]) -> list[tuple[int, int]]:
    """Divide rows at the bounds, and longer stretches every `MAX_PORTION_NS`. No portion is empty."""
    portions = []
    for start, end in pairwise(bounds):
        first = start
        while first < end:
            later = np.flatnonzero(arrivals[first:end] - arrivals[first] > MAX_PORTION_NS)
            last = first + int(later[0]) if later.size else end
            portions.append((first, last))
            first = last
    return portions


def _transits(
    baselines: Sequence[LatenessBaseline], spans: StreamSpans, arrivals: Int64s, timestamps: Int64s
) -> Int64s:
    """Return arrival less RTP time since the anchor, in ns, across wraps of the timestamp."""
    firsts = timestamps[spans.starts].tolist()
    carried = [
        first if baseline.last_timestamp is None else baseline.last_timestamp
        for baseline, first in zip(baselines, firsts, strict=True)
    ]
    summed = np.cumsum(wrapped_steps(timestamps, previous(timestamps, spans, carried)))
    earlier = np.concatenate(([0], summed[spans.ends[:-1] - 1]))
    ticks = summed + (np.array([baseline.ticks for baseline in baselines]) - earlier)[spans.ordinals]
    rates = np.array([baseline.clock_rate_hz for baseline in baselines])[spans.ordinals]
    transits: Int64s = arrivals - ticks * 1_000_000_000 // rates
    ends = spans.ends - 1
    lasts = zip(ticks[ends].tolist(), timestamps[ends].tolist(), strict=True)
    starts = zip(transits[spans.starts].tolist(), arrivals[spans.starts].tolist(), strict=True)
    for baseline, (tick, timestamp), (transit, arrival) in zip(baselines, lasts, starts, strict=True):
        if baseline.last_timestamp is None:
            baseline.last_transit_ns, baseline.last_arrival_ns = transit, arrival
        baseline.ticks, baseline.last_timestamp = tick, timestamp
    return transits


def _breaks(
    baselines: Sequence[LatenessBaseline], spans: StreamSpans, arrivals: Int64s, transits: Int64s, markers: Flags
) -> Flags:
    """Flag the packets that begin a new anchor.

    That is a jump of the timestamp, or a marker after silence or whose timestamp does not follow. A marker after
    another one begins nothing.
    """
    begins = markers & (previous(markers.astype(np.int64), spans, [each.last_marker for each in baselines]) == 0)
    moved = transits - previous(transits, spans, [baseline.last_transit_ns for baseline in baselines])
    paused = arrivals - previous(arrivals, spans, [baseline.last_arrival_ns for baseline in baselines])
    ends = spans.ends - 1
    lasts = zip(baselines, transits[ends].tolist(), arrivals[ends].tolist(), markers[ends].tolist(), strict=True)
    for baseline, transit, arrival, marker in lasts:
        baseline.last_transit_ns, baseline.last_arrival_ns, baseline.last_marker = transit, arrival, marker
    moved = np.abs(moved)
    breaks: Flags = moved > TIMESTAMP_JUMP_NS
    if begins.any():
        beside = np.array([baseline.beside_ns for baseline in baselines])[spans.ordinals]
        breaks |= begins & ((moved > beside) | (paused > SILENCE_NS))
    return breaks
