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
from typing import NamedTuple

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


class Levels(NamedTuple):
    """The levels of one anchor at `now_ns`: the source's baseline and shortest transit, and the echo's baseline, in ns.

    Transits are compared without a drift of `ppm`. `others` are source excess and variation of the latest packets by
    other transits: only the smaller ones count.
    """

    source_ns: int
    shortest_ns: int
    echo_ns: int
    now_ns: int
    ppm: float
    others: Sequence[tuple[Int64s, Int64s]]


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

    def add(self, packets: Int64s) -> Levels:
        """Add packets of one anchor, and return the levels of the last 30 s.

        Rows of `packets`: arrival, transit, round trip, and by how much the wall clock had been slewed.
        """
        self._remember(packets)
        history, now_ns, count = self._history, int(packets[0, -1]), packets.shape[1]
        echo_ns = _percentile(history[2, self._start : self._end], ECHO_BASELINE_PER_CENT)
        arrivals, transits, _, slewed = history[:, self._anchored : self._end]
        was_slewed = bool(slewed[0] != slewed[-1])
        if not was_slewed:
            self._measure_skew(now_ns)
        ppm = self.skew.ppm or 0.0
        compared = _without_drift(transits, arrivals, now_ns, ppm) if ppm else transits
        others = [_above(compared + slewed, count)] if was_slewed else []
        if self.skew.ppm is None and self.skew.provisional_ppm:
            others.append(_above(_without_drift(compared, arrivals, now_ns, self.skew.provisional_ppm), count))
        return Levels(_low(compared), int(compared.min()), echo_ns, now_ns, ppm, others)

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

    def _remember(self, packets: Int64s) -> None:
        count = packets.shape[1]
        if self._end + count > self._history.shape[1]:
            self._make_room(count)
        end = self._end + count
        self._history[:, self._end : end] = packets
        kept = self._history[0, self._start : self._end]
        self._end = end
        self._start += int(kept.searchsorted(packets[0, -1] - BASELINE_NS))
        self._anchored = max(self._anchored, self._start)

    def _make_room(self, count: int) -> None:
        kept = self._end - self._start
        # A quarter more: a move every few seconds costs little, and hundreds of calls keep 30 s each.
        size = max(MIN_HISTORY, (kept + count) * 5 // 4)
        history = self._history if size <= self._history.shape[1] else np.empty((4, size), np.int64)
        history[:, :kept] = self._history[:, self._start : self._end]
        self._history, self._anchored = history, self._anchored - self._start
        self._start, self._end = 0, kept

    def _measure_skew(self, now_ns: int) -> None:
        if not self.skew.is_due(now_ns):
            return
        arrivals, transits = self._history[:2, self._anchored : self._end]
        low = _low(transits[arrivals.searchsorted(now_ns - POINT_NS) :])
        self._keep_level(low, now_ns)
        self.skew.add(now_ns, low)


def _without_drift(
    transits: Int64s, arrivals: Int64s, now_ns: int | Int64s, skew_ppm: float | NDArray[np.float64]
) -> Int64s:
    drift = (arrivals - now_ns) * (skew_ppm * 1e-6)
    return transits - drift.astype(np.int64)


def _percentile(values: Int64s, per_cent: int) -> int:
    """Return a percentile, nearest rank."""
    rank = -(-per_cent * values.size // 100) - 1
    # The method: numpy's function of this name takes as long again for a few hundred values.
    ordered = values.copy()
    ordered.partition(rank)
    return int(ordered[rank])


def _low(transits: Int64s) -> int:
    return _percentile(transits, SOURCE_BASELINE_PER_CENT)


def _above(transits: Int64s, count: int) -> tuple[Int64s, Int64s]:
    """Return how far the last `count` transits are above their baseline, and above the shortest."""
    own = transits[transits.size - count :]
    return own - _low(transits), own - transits.min()


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
    packets = np.stack((arrivals, transits, round_trips, np.broadcast_to(slewed, arrivals.shape)))
    ends = spans.ends - 1
    divided = set(spans.ordinals[breaks].tolist())
    divided |= set(np.flatnonzero(arrivals[ends] - arrivals[spans.starts] > MAX_PORTION_NS).tolist())
    parts: list[slice] = []
    anchors: list[int] = []
    levels: list[Levels] = []
    for at, (baseline, (_, start, end)) in enumerate(zip(baselines, spans, strict=True)):
        places = (np.flatnonzero(breaks[start:end]) + start).tolist() if at in divided else []
        for first, last in _portions(arrivals, [start, *places, end]) if at in divided else ((start, end),):
            if first in places:
                baseline.re_anchor()
            for part, packets_back in baseline.divide(arrivals, transits, first, last):
                if packets_back is not None:
                    baseline.re_anchor(packets_back)
                levels.append(baseline.add(packets[:, part]))
                parts.append(part)
                anchors.append(baseline.anchor)
    return _above_levels(packets, parts, levels, anchors)


def _above_levels(packets: Int64s, parts: list[slice], levels: list[Levels], anchors: list[int]) -> Lateness:
    """Compare all packets with the levels of their part. The parts are in order and leave no packet out."""
    of_part = np.repeat(np.arange(len(parts)), [part.stop - part.start for part in parts])
    source_ns, shortest_ns, echo_ns, now_ns = np.array([each[:4] for each in levels], np.int64).T[:, of_part]
    drift = np.array([each.ppm for each in levels])[of_part]
    arrivals, transits, round_trips, _ = packets
    own = _without_drift(transits, arrivals, now_ns, drift)
    source, variation = own - source_ns, own - shortest_ns
    for part, level in zip(parts, levels, strict=True):
        for other_source, other_variation in level.others:
            source[part] = np.minimum(source[part], other_source)
            variation[part] = np.minimum(variation[part], other_variation)
    return Lateness(source, round_trips - echo_ns, variation, np.array(anchors)[of_part])


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
