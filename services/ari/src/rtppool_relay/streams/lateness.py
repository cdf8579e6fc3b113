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

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.streams.columns import StreamSpans, previous, ranges, wrapped_steps
from rtppool_relay.streams.histories import Histories, rank_of
from rtppool_relay.streams.skew import POINT_NS, SkewEstimate

SOURCE_BASELINE_PER_CENT = 5
ECHO_BASELINE_PER_CENT = 50
BASELINE_NS = 30_000_000_000
TIMESTAMP_JUMP_NS = 500_000_000
SILENCE_NS = 100_000_000
LEVEL_NS = 1_000_000_000
MIN_LEVEL_NS = 800_000_000
MIN_LEVEL_PACKETS = 5
LATEST_PACKETS = 128
# Arrivals of a longer time are judged in portions, so that each portion may show a level.
MAX_PORTION_NS = 1_500_000_000
# More than two clocks differ.
MAX_DRIFT_PPM = 1_000

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


NO_LEVELS = Levels(0, 0, 0, 0, 0.0, ())


class _Part(NamedTuple):
    """Packets of one stream and one anchor, and the levels that they are compared with."""

    rows: slice
    anchor: int
    levels: Levels


@dataclass(slots=True)
class LatenessBaseline:
    """Baselines of one stream. Times in ns; `clock_rate_hz` is the RTP clock's.

    Its packets are a row of `histories`, which streams that are measured together share.
    """

    clock_rate_hz: int
    threshold_ns: int
    histories: Histories = field(default_factory=lambda: Histories(1))
    row: int = 0
    skew: SkewEstimate = field(default_factory=SkewEstimate)
    anchor: int = 0
    ticks: int = 0
    last_timestamp: int | None = None
    last_transit_ns: int = 0
    last_arrival_ns: int = 0
    last_marker: int = 0

    def __post_init__(self) -> None:
        """Begin the row."""
        self.histories.begin(self.row)

    @property
    def beside_ns(self) -> int:
        """How far off its level a packet is beside it: half of the lateness that counts."""
        return self.threshold_ns // 2

    @property
    def level_ns(self) -> int | None:
        """Low percentile of the last second's transits, while they are neither all late nor all early; None before."""
        return int(self.histories.levels[self.row]) if self.histories.has_level[self.row] else None

    def restart(self) -> None:
        """Forget the source's baseline after a new stream or a step of the clock. The echo's stays."""
        self.last_timestamp = None
        self.skew.forget()
        self.re_anchor()

    def re_anchor(self, packets_back: int = 0) -> None:
        """Begin a new anchor after a step of the talker's timeline: earlier arrivals can't be compared."""
        self.anchor += 1
        self.histories.anchor(self.row, packets_back)
        self.skew.restart()

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
        known, beside = self.level_ns, self.beside_ns
        level = int(transits[0]) if known is None else known
        last = transits[-MIN_LEVEL_PACKETS:].tolist()
        low, high = min(last), max(last)
        moved = max(low - level, level - high)
        if moved <= beside or high - low > max(beside, moved // 2):
            return None
        histories, margin = self.histories, max(beside, moved // 4)
        anchored, end = int(histories.anchored[self.row]), int(histories.end[self.row])
        # Nearly always some of the latest packets are on the old level, and earlier ones don't count.
        for first in (max(anchored, end - LATEST_PACKETS), anchored):
            before = histories.window(self.row, first)
            times, levels = np.concatenate((before[:2], (arrivals, transits)), axis=1)
            outside = np.flatnonzero((levels < low - margin) | (levels > high + margin))
            if outside.size:
                break
        begin = int(outside[-1]) + 1 if outside.size else 0
        held = levels[begin:][times[begin:] >= times[-1] - LEVEL_NS]
        holds = (
            held.size >= MIN_LEVEL_PACKETS
            and times[-1] - times[begin] >= MIN_LEVEL_NS
            and np.ptp(held) <= max(beside, moved // 2)
        )
        return begin - before.arrivals.size, bool(holds)

    def make_room(self, count: int) -> None:
        """Move to a ring of its own where so many packets more do not fit."""
        if not self.histories.has_room(np.array([self.row]), np.array([count])).all():
            kept = int(self.histories.end[self.row] - self.histories.start[self.row])
            self.histories, self.row = self.histories.copy_row(self.row, 2 * (kept + count)), 0


def _without_drift(
    transits: Int64s, arrivals: Int64s, now_ns: int | Int64s, skew_ppm: float | NDArray[np.float64]
) -> Int64s:
    drift = (arrivals - now_ns) * (skew_ppm * 1e-6)
    return transits - drift.astype(np.int64)


def _percentile(values: NDArray[Any], per_cent: int) -> int:
    """Return a percentile, nearest rank."""
    rank = rank_of(values.size, per_cent)
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
    breaks_of: list[list[int]] = [
        (np.flatnonzero(breaks[start:end]) + start).tolist() if at in divided else []
        for at, (_, start, end) in enumerate(spans)
    ]
    added: list[list[_Part]] = [[] for _ in baselines]
    under_way = [
        (at, _parts(baseline, packets, start, end, breaks_of[at], portioned=at in divided))
        for at, (baseline, (_, start, end)) in enumerate(zip(baselines, spans, strict=True))
    ]
    # A part of each stream at a time: the next one depends on the levels after it. Nearly all streams have one.
    while found := [(at, parts, part) for at, parts in under_way if (part := next(parts, None)) is not None]:
        whole = [baselines[at] for at, _, _ in found]
        for (at, _, part), levels in zip(found, _add(whole, [part for *_, part in found], packets), strict=True):
            added[at].append(_Part(part, baselines[at].anchor, levels))
        under_way = [(at, parts) for at, parts, _ in found]
    return _above_levels(packets, [part for of in added for part in of])


def _parts(
    baseline: LatenessBaseline, packets: Int64s, start: int, end: int, breaks: list[int], *, portioned: bool
) -> Iterator[slice]:
    """Yield the packets of one stream in parts of one anchor, each of which is added before the next one.

    `portioned`: they have breaks, or are those of a longer time.
    """
    arrivals, transits = packets[:2]
    for first, last in _portions(arrivals, [start, *breaks, end]) if portioned else ((start, end),):
        if first in breaks:
            baseline.re_anchor()
        for part, packets_back in baseline.divide(arrivals, transits, first, last):
            if packets_back is not None:
                baseline.re_anchor(packets_back)
            yield part


def _add(baselines: Sequence[LatenessBaseline], parts: Sequence[slice], packets: Int64s) -> list[Levels]:
    """Add the packets of a part to each stream, and return the streams' levels of the last 30 s.

    Rows of `packets`: arrival, transit, round trip, and by how much the wall clock had been slewed.
    """
    by_histories: dict[int, list[int]] = {}
    for at, baseline in enumerate(baselines):
        by_histories.setdefault(id(baseline.histories), []).append(at)
    levels = [NO_LEVELS] * len(parts)
    for places in by_histories.values():
        added = _add_together([baselines[at] for at in places], [parts[at] for at in places], packets)
        for at, level in zip(places, added, strict=True):
            levels[at] = level
    return levels


def _add_together(baselines: Sequence[LatenessBaseline], parts: Sequence[slice], packets: Int64s) -> list[Levels]:
    """As `_add`, for streams that share their histories."""
    histories = baselines[0].histories
    rows = np.array([baseline.row for baseline in baselines])
    bounds = np.array([(part.start, part.stop) for part in parts])
    counts, now_ns = bounds[:, 1] - bounds[:, 0], packets[0, bounds[:, 1] - 1]
    histories.expire(rows, now_ns - BASELINE_NS)
    if not histories.has_room(rows, counts).all():
        for baseline, count in zip(baselines, counts.tolist(), strict=True):
            baseline.make_room(count)
        return _add(baselines, parts, packets)
    owners, numbers = ranges(bounds[:, 0], counts)
    own = packets if owners.size == packets.shape[1] else packets[:, numbers]
    histories.add(rows, counts, own)
    slewed = {
        at: window for at, row in enumerate(rows.tolist()) if (window := histories.slewed_window(row)) is not None
    }
    _measure_skews(histories, baselines, rows, now_ns, slewed.keys())
    ppm = np.array([baseline.skew.ppm or 0.0 for baseline in baselines])
    sources, shortest = histories.source_baselines(rows, now_ns, ppm, SOURCE_BASELINE_PER_CENT)
    echoes = histories.echo_baselines(rows, ECHO_BASELINE_PER_CENT)
    others: list[list[tuple[Int64s, Int64s]]] = [[] for _ in rows]
    for at, window in slewed.items():
        drift = ppm[at]
        compared = _without_drift(window.transits, window.arrivals, now_ns[at], drift) if drift else window.transits
        others[at].append(_above(compared + window.slewed, int(counts[at])))
    early = np.flatnonzero([each.skew.ppm is None and bool(each.skew.provisional_ppm) for each in baselines])
    if early.size:
        provisional = np.array([baselines[at].skew.provisional_ppm for at in early.tolist()])
        lows = histories.source_baselines(rows[early], now_ns[early], provisional, SOURCE_BASELINE_PER_CENT)
        for at, ways, low, least in zip(early.tolist(), provisional.tolist(), *(x.tolist() for x in lows), strict=True):
            packets_of = packets[:, parts[at]]
            transits = _without_drift(packets_of[1], packets_of[0], now_ns[at], ways)
            others[at].append((transits - low, transits - least))
    columns = zip(*(each.tolist() for each in (sources, shortest, echoes, now_ns, ppm)), others, strict=True)
    return [Levels(*column) for column in columns]


def _measure_skews(
    histories: Histories,
    baselines: Sequence[LatenessBaseline],
    rows: Int64s,
    now_ns: Int64s,
    slewed: Collection[int],
) -> None:
    """Add a point to each skew that is due, and let the level follow the last second."""
    times = enumerate(zip(baselines, now_ns.tolist(), strict=True))
    due = [at for at, (baseline, now) in times if at not in slewed and baseline.skew.is_due(now)]
    if not due:
        return
    rows, now_ns = rows[due], now_ns[due]
    lows = histories.lows_since(rows, now_ns - POINT_NS, SOURCE_BASELINE_PER_CENT)
    beside = np.array([baselines[at].beside_ns for at in due])
    # Unless that jumps: a new level begins with a new anchor.
    follows = ~histories.has_level[rows] | (np.abs(lows - histories.levels[rows]) <= beside)
    follows |= now_ns - histories.levels_at[rows] > BASELINE_NS
    followed = rows[follows]
    histories.levels[followed], histories.levels_at[followed] = lows[follows], now_ns[follows]
    histories.has_level[followed] = True
    for at, now, low in zip(due, now_ns.tolist(), lows.tolist(), strict=True):
        baselines[at].skew.add(now, low)


def _above_levels(packets: Int64s, parts: Sequence[_Part]) -> Lateness:
    """Compare all packets with the levels of their part. The parts are in order and leave no packet out."""
    of_part = np.repeat(np.arange(len(parts)), [part.rows.stop - part.rows.start for part in parts])
    levels = [part.levels for part in parts]
    source_ns, shortest_ns, echo_ns, now_ns = np.array([each[:4] for each in levels], np.int64).T[:, of_part]
    drift = np.array([each.ppm for each in levels])[of_part]
    arrivals, transits, round_trips, _ = packets
    own = _without_drift(transits, arrivals, now_ns, drift)
    source, variation = own - source_ns, own - shortest_ns
    for rows, _, level in parts:
        for other_source, other_variation in level.others:
            source[rows] = np.minimum(source[rows], other_source)
            variation[rows] = np.minimum(variation[rows], other_variation)
    return Lateness(source, round_trips - echo_ns, variation, np.array([part.anchor for part in parts])[of_part])


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
