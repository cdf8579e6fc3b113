"""Rows of slots into figures: by second for the windows, and for each call as a whole.

`collect_all` takes the finished rows of many slots and computes over columns of them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_relay.media.rows import DROP_REASONS, LOST_AFTER_NS, Word
from rtppool_relay.streams.call_totals import CallTotals
from rtppool_relay.streams.causes import Excess, find_causes, find_host_time
from rtppool_relay.streams.codecs import carries_audio, is_g711
from rtppool_relay.streams.columns import StreamSpans, buckets_of, counts_of, record_all, wrapped_steps
from rtppool_relay.streams.directed_loss import DirectedLoss, EchoedRows, LossDirections
from rtppool_relay.streams.flow import MediaFlow
from rtppool_relay.streams.jitter import StreamJitter, update_jitter
from rtppool_relay.streams.lateness import LatenessBaseline, measure_lateness
from rtppool_relay.streams.loss_bursts import USUAL_PACKET_NS, LossBursts
from rtppool_relay.streams.packet_time import PacketTime
from rtppool_relay.streams.reordering import ReorderingDetector
from rtppool_relay.streams.row_reader import (
    SETTLED_AFTER_NS,
    SETTLED_AT_END_AFTER_NS,
    RowReader,
    Rows,
    Taken,
    Uint64s,
    by_counter,
    count_all,
    read_rows,
    take_all,
)
from rtppool_relay.streams.slices import NS_PER_SLICE, JitterName, Slice
from rtppool_relay.streams.source_loss import SourceGaps
from rtppool_relay.streams.stalls import NO_STALLS, StallSource
from rtppool_relay.streams.steady_clock import SteadyClock

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

# RFC 4733: every packet of an event repeats the timestamp of its beginning. Asterisk offers it as 101.
TELEPHONE_EVENT_PAYLOAD_TYPE = 101
_EVENT_WORDS = {name: Word[count.word] for name, count in COUNTS.items() if count.word}
# Most calls have none of these events in most collections.
_SELDOM = sorted({*_EVENT_WORDS.values(), *DROP_REASONS.values(), Word.RETURN_FAILED})
# Of one slot in one collection. Rows of further ones are counted, and not compared with others.
MAX_EPOCHS = 16
# Of streams that are collected together, with figures by second of their own: calls, and the probe.
MAX_GROUPS = 2
LATE_COUNTS = ("source", "relay", "echo", "host", "judged", "judged_with_host")


@dataclass(frozen=True, slots=True)
class Collected:
    """Figures by Unix second, and how much each of the slots' counters grew.

    `times` are the values (ns) of each kind of times that has a metric.
    """

    by_second: dict[int, Slice]
    counted: dict[Word, int]
    times: tuple[tuple[str, Int64s], ...] = ()


@dataclass(slots=True)
class StreamStatistics:
    """The state of one slot.

    All times are those of `clock`, which streams that are collected together share. Samples across a step of the wall
    clock are dropped and counted in `samples_dropped`. `dropped` counts datagrams by reason, and `streams_unjudged` the
    streams that replaced each other too fast. Figures by second are kept apart by `group`. `first_arrival_ns` is when
    the first answered packet came from Asterisk (ns of Unix time), and `first_return_ns` the time from then to its
    return.
    """

    reader: RowReader
    clock_rate_hz: int
    late_threshold_ns: int
    clock: SteadyClock
    group: int = 0
    samples_dropped: int = 0
    sent_to_echo: int = 0
    return_failed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    streams_unjudged: int = 0
    first_return_ns: int | None = None
    first_arrival_ns: int | None = None
    lateness: LatenessBaseline = field(init=False)
    jitter: StreamJitter = field(init=False)
    source_jitter: StreamJitter = field(init=False)
    returns: ReorderingDetector = field(default_factory=ReorderingDetector)
    directions: LossDirections = field(default_factory=LossDirections)
    gaps: SourceGaps = field(default_factory=SourceGaps)
    losses: LossBursts = field(default_factory=LossBursts)
    # What is not in the columns of all calls: rare events.
    rare: Slice = field(default_factory=Slice)
    # At the end: another call gets the slot.
    _last: Slice | None = None
    _epoch: int | None = None
    _first_index: int = 0
    _packet_time: PacketTime = field(init=False)

    def __post_init__(self) -> None:
        """Create empty baselines."""
        self._packet_time = PacketTime(self.clock_rate_hz)
        histories, row = self.reader.rings.histories, self.reader.slot
        self.lateness = LatenessBaseline(self.clock_rate_hz, self.late_threshold_ns, histories, row)
        self.jitter = StreamJitter(self.clock_rate_hz)
        self.source_jitter = StreamJitter(self.clock_rate_hz)

    @property
    def total(self) -> Slice:
        """The call's figures so far."""
        if self._last is not None:
            return self._last
        total, totals = self.added, self.reader.rings.totals
        for name in TIMES:
            setattr(total, name, totals.histogram(self.reader.slot, name))
        return total

    @property
    def added(self) -> Slice:
        """The call's figures so far, without histograms."""
        if self._last is not None:
            return self._last
        added = Slice()
        added.add(self.rare)
        self.reader.rings.totals.add_to(added, self.reader.slot)
        return added

    @property
    def _answered(self) -> int:
        return self._last.answered if self._last else self.reader.rings.totals.number(self.reader.slot, "answered")

    @property
    def flow(self) -> MediaFlow:
        """Packets in each direction up to the latest tick, those that wait for their answers included."""
        returned = self._answered - self.return_failed
        return MediaFlow(self.sent_to_echo, returned, self.first_return_ns, self.first_arrival_ns)

    @property
    def skew_ppm(self) -> float | None:
        """How much slower than ours Asterisk's clock runs: the slope of the transit; None until it is measured."""
        return self.lateness.skew.ppm

    def collect(self, now_ns: int, stalls: StallSource = NO_STALLS) -> Collected:
        """Return the figures that became known since the last call."""
        return collect_all([self], now_ns, stalls=stalls)

    def finish(self, now_ns: int, stalls: StallSource = NO_STALLS) -> Collected:
        """Return the last figures at a call's end. Packets unanswered for 200 ms are lost, younger ones not counted."""
        collected = collect_all([self], now_ns, SETTLED_AT_END_AFTER_NS, stalls)
        second = _grouped(now_ns // NS_PER_SLICE, self.group)
        left = Slice()
        self._lose_missing(self.gaps.lost(now_ns, 0), second, left)
        sums = _Sums()
        sums.add(self, second, left)
        sums.add_bursts(self, self.losses.finish(second))
        sums.add_directions(self, self.directions.finish())
        for at, part in sums.of(self.group).items():
            collected.by_second.setdefault(at, Slice()).add(part)
        self._last = self.total
        return collected

    def continue_rows(self, epoch: int, first: int, last: int) -> bool:
        """Register finished rows with all indexes from the first to the last, all of one epoch.

        False: they do not simply go on where the rows before ended, and nothing was registered.
        """
        if epoch != self._epoch or not self.gaps.extend(first, last):
            return False
        self.losses.reach(last)
        return True

    def begin_rows(self, rows: Rows, now_ns: int) -> bool:
        """Register finished rows. False: they are the last rows of a replaced stream, or those of many streams."""
        indexes = rows["index"]
        first = int(indexes[0])
        epoch = int(rows["epoch"][0])
        if epoch != int(rows["epoch"][-1]):
            self.streams_unjudged += 1 + int(np.count_nonzero(np.diff(rows["epoch"])))
            return False
        if epoch != self._epoch:
            if self._epoch is not None and first < self._first_index and not self._is_return(rows):
                return False
            self._begin_epoch(epoch, first, now_ns)
        self.gaps.update(indexes, rows["a"], now_ns, self.reader.holds)
        self.losses.reach(int(indexes[-1]))
        return True

    def _is_return(self, rows: Rows) -> bool:
        """Return whether a source returned whose packets were still under way: it goes on in its epoch."""
        is_source = int(rows["ssrc"][-1]) == self.reader.word(Word.SSRC)
        return is_source and int(rows["index"][-1]) >= self.reader.word(Word.FIRST_INDEX)

    def _begin_epoch(self, epoch: int, first: int, now_ns: int) -> None:
        if self._epoch is not None:
            self.lateness.restart()
        if self.reader.word(Word.EPOCH) & 0xFFFF == epoch:
            # The first packets may still wait for their answers.
            first = min(first, self.reader.word(Word.FIRST_INDEX))
        self.gaps.restart(first)
        self.losses.begin(first, now_ns)
        self._packet_time.restart()
        self._epoch, self._first_index = epoch, first

    @property
    def packet_ns(self) -> int:
        """The media in a packet, in ns; the usual value until two packets have shown it."""
        return self._packet_time.ns or USUAL_PACKET_NS

    @property
    def packet_ticks(self) -> int:
        """The timestamp's usual step from packet to packet; 0 until it is measured."""
        return self._packet_time.ticks

    def follow_packet_time(self, indexes: list[int], steps: list[int]) -> None:
        """Follow the timestamp's steps from packets to their successors in the sequence."""
        is_first = not self._packet_time.ticks
        for first, packet_ns in self._packet_time.follow(indexes, steps):
            self.losses.set_packet_time(self._first_index if is_first else first, packet_ns)
            is_first = False

    def lose_rows(self, indexes: list[int], seconds: list[int]) -> None:
        """Add rows that were never answered."""
        self.losses.lose((index, index, second) for index, second in zip(indexes, seconds, strict=True))

    def count_events(self, grown: Uint64s, events: Slice) -> None:
        """Count the growth of the slot's counters, `grown` by word."""
        for name, word in _EVENT_WORDS.items():
            setattr(events, name, int(grown[word]))
        self.dropped.update({reason: int(grown[word]) for reason, word in DROP_REASONS.items() if grown[word]})
        self.return_failed += int(grown[Word.RETURN_FAILED])

    def settle_source(self, now_ns: int, second: int, events: Slice) -> None:
        """Count the packets that are finally missing from Asterisk."""
        self._lose_missing(self.gaps.lost(now_ns), second, events)

    def excuse_digit(self, ended_ns: int, duration_ns: int) -> None:
        """Count no source loss during a digit: Asterisk consumes its events, and withholds the audio beside them."""
        self.gaps.excuse(ended_ns - duration_ns, ended_ns)

    def _lose_missing(self, runs: list[tuple[int, int]], second: int, events: Slice) -> None:
        if runs:
            events.add(Slice(source_lost=sum(last - first + 1 for first, last in runs)))
            self.losses.lose((first, last, second) for first, last in runs)


def _grouped(second: int, group: int) -> int:
    """Return a second of a group as one number."""
    return second * MAX_GROUPS + group


class _Sums:
    """Figures by second and group (`_grouped`), which also go to the calls."""

    __slots__ = ("by_second", "times")

    def __init__(self) -> None:
        self.by_second: dict[int, Slice] = {}
        self.times: list[tuple[int, str, Int64s]] = []

    def of(self, group: int) -> dict[int, Slice]:
        """Return the figures of a group by second."""
        return {key // MAX_GROUPS: part for key, part in self.by_second.items() if key % MAX_GROUPS == group}

    def at(self, second: int) -> Slice:
        found = self.by_second.get(second)
        if found is None:
            found = self.by_second[second] = Slice()
        return found

    def add(self, stream: StreamStatistics, second: int, part: Slice) -> None:
        if part.is_empty():
            return
        self.at(second).add(part)
        stream.rare.add(part)

    def add_bursts(self, stream: StreamStatistics, bursts: list[tuple[int, BurstCounts]]) -> None:
        for second, counts in bursts:
            self.at(second).bursts.add(counts)
            stream.rare.bursts.add(counts)

    def add_directions(self, stream: StreamStatistics, losses: list[DirectedLoss]) -> None:
        for loss in losses:
            for part in (self.at(_grouped(loss.sent_ns // NS_PER_SLICE, stream.group)), stream.rare):
                part.lost_to_echo += loss.to_echo
                part.lost_from_echo += loss.from_echo
                part.lost_undetermined += loss.undetermined


def collect_all(
    streams: Sequence[StreamStatistics],
    now_ns: int,
    settled_after_ns: int = SETTLED_AFTER_NS,
    stalls: StallSource = NO_STALLS,
) -> Collected:
    """As `collect_groups`, for streams of one group."""
    if not streams:
        return Collected({}, {})
    return collect_groups(streams, now_ns, settled_after_ns, stalls)[streams[0].group]


def collect_groups(
    streams: Sequence[StreamStatistics],
    now_ns: int,
    settled_after_ns: int = SETTLED_AFTER_NS,
    stalls: StallSource = NO_STALLS,
) -> dict[int, Collected]:
    """Return the figures that became known since the last call, for each group of these streams.

    `stalls` are those of this machine's processors since then and for 2.5 s before, in the time of the streams' clock.
    """
    sums = _Sums()
    readers = [stream.reader for stream in streams]
    for taken in _by_epoch(take_all(readers, now_ns, settled_after_ns, streams[0].clock)):
        _Batch(streams, taken, now_ns, settled_after_ns, stalls, sums).add()
    grown = count_all(readers)
    _settle(streams, grown, now_ns, sums)
    of = np.array([stream.group for stream in streams])
    return {
        group: Collected(
            sums.of(group),
            by_counter(grown[of == group]),
            tuple((name, values_ns) for found, name, values_ns in sums.times if found == group),
        )
        for group in np.unique(of).tolist()
    }


def _settle(streams: Sequence[StreamStatistics], grown: Uint64s, now_ns: int, sums: _Sums) -> None:
    """Count what the media processes counted, and the losses that have become final. Most streams have neither."""
    now_second = now_ns // NS_PER_SLICE
    had_events = np.count_nonzero(grown[:, _SELDOM], axis=1).tolist()
    sent = grown[:, Word.SENT_TO_ECHO].tolist()
    for at, stream in enumerate(streams):
        stream.sent_to_echo += sent[at]
        second = _grouped(now_second, stream.group)
        if had_events[at] or stream.gaps.are_open:
            events = Slice()
            stream.count_events(grown[at], events)
            stream.settle_source(now_ns, second, events)
            sums.add(stream, second, events)
        if stream.losses.are_open:
            sums.add_bursts(stream, stream.losses.release(stream.gaps.frontier, now_ns, second))


def _by_epoch(taken: Taken) -> list[Taken]:
    """Divide rows into batches with one epoch of each stream. There is nearly always one batch.

    Where a stream has more than `MAX_EPOCHS`, its part of the first batch has all that are too many.
    """
    if not taken.rows.size:
        return []
    epochs: Int64s = taken.rows["epoch"].astype(np.int64)
    spans = StreamSpans(taken.owners)
    divided: Flags = epochs[spans.starts] != epochs[spans.ends - 1]
    if not divided.any():
        return [taken]
    changes: Flags = divided[spans.ordinals]
    changes[1:] &= epochs[1:] != epochs[:-1]
    changes[spans.starts] = False
    summed: Int64s = np.cumsum(changes)
    numbers: Int64s = summed - summed[spans.starts][spans.ordinals]
    too_many = np.maximum(numbers[spans.ends - 1] - (MAX_EPOCHS - 1), 0)
    numbers = np.maximum(numbers - too_many[spans.ordinals], 0)
    return [Taken(taken.rows[at], taken.owners[at]) for at in (numbers == each for each in range(numbers.max() + 1))]


class _Batch:
    """Finished rows of many streams, one epoch of each."""

    def __init__(
        self,
        streams: Sequence[StreamStatistics],
        taken: Taken,
        now_ns: int,
        settled_after_ns: int,
        stalls: StallSource,
        sums: _Sums,
    ) -> None:
        self._streams = streams
        self._slots = np.array([stream.reader.slot for stream in streams])
        self._totals = streams[0].reader.rings.totals
        self._groups = np.array([stream.group for stream in streams])
        self._rows = read_rows(taken.rows)
        self._across_step = streams[0].clock.place(self._rows, now_ns)
        self._owners = taken.owners
        self._spans = StreamSpans(taken.owners)
        self._now_ns = now_ns
        # The last rows of a replaced stream are counted, but not compared with others.
        self._current = self._begin_rows()
        self._follow_packet_times()
        self._settled_ns = now_ns - settled_after_ns
        self._stalls = stalls
        self._sums = sums

    def _begin_rows(self) -> Flags:
        rows, spans = self._rows, self._spans
        index, epochs = (np.ascontiguousarray(rows[name]).astype(np.int64) for name in ("index", "epoch"))
        ends = spans.ends - 1
        is_whole = (index[ends] - index[spans.starts] + 1 == spans.ends - spans.starts) & (
            epochs[ends] == epochs[spans.starts]
        )
        facts = (each.tolist() for each in (is_whole, epochs[ends], index[spans.starts], index[ends]))
        current = np.ones(len(self._streams), np.bool_)
        for (owner, start, end), whole, epoch, first, last in zip(spans, *facts, strict=True):
            stream = self._streams[owner]
            if not (whole and stream.continue_rows(epoch, first, last)):
                current[owner] = stream.begin_rows(rows[start:end], self._now_ns)
        return current

    def _follow_packet_times(self) -> None:
        """Find the streams whose timestamp took another step than usual from a packet to its successor."""
        rows, owners = self._rows, self._owners
        indexes, timestamps = rows["index"].astype(np.int64), rows["timestamp"].astype(np.int64)
        audio = carries_audio(rows["payload_type"])
        compared = (np.diff(indexes) == 1) & (owners[1:] == owners[:-1]) & audio[1:] & audio[:-1]
        steps = wrapped_steps(timestamps[1:], timestamps[:-1])
        usual = np.array([stream.packet_ticks for stream in self._streams])[owners[:-1]]
        for owner in np.unique(owners[:-1][compared & (steps != usual)]).tolist():
            if self._current[owner]:
                at = np.flatnonzero(compared & (owners[:-1] == owner))
                self._streams[owner].follow_packet_time(indexes[at].tolist(), steps[at].tolist())

    def add(self) -> None:
        """Count all rows, then measure the answered ones."""
        rows, owners, spans = self._rows, self._owners, self._spans
        sent = np.ascontiguousarray(rows["x"])
        answered = rows["answered"] != 0
        seconds = self._seconds_of(sent, owners)
        answers = spans.sums(answered)
        slots = self._slots[spans.owners]
        self._totals.count("packets", slots, spans.ends - spans.starts)
        self._totals.count("answered", slots, answers)
        for second, number in counts_of(seconds):
            self._sums.at(second).packets += number
        if sum(answers) < owners.size:
            self._lose(~answered, seconds)
        self._add_directions(spans, sent, answered)
        usable = answered & ~self._unusable()
        for second, number in counts_of(seconds[answered]):
            self._sums.at(second).answered += number
        if np.count_nonzero(usable) < np.count_nonzero(answered):
            dropped = spans.sums(answered & ~usable)
            for owner, number in zip(spans.owners, dropped, strict=True):
                self._streams[owner].samples_dropped += number
        if usable.any():
            whole = bool(usable.all())
            self._measure(rows if whole else rows[usable], owners if whole else owners[usable])

    def _seconds_of(self, sent: Int64s, owners: Int64s) -> Int64s:
        """Return the second and the group of each row as one number, as `_grouped` does."""
        seconds: Int64s = sent // NS_PER_SLICE * MAX_GROUPS + self._groups[owners]
        return seconds

    def _lose(self, lost: Flags, seconds: Int64s) -> None:
        at = np.flatnonzero(lost)
        spans = StreamSpans(self._owners[at])
        indexes, when = self._rows["index"][at].tolist(), seconds[at].tolist()
        for owner, start, end in spans:
            self._streams[owner].lose_rows(indexes[start:end], when[start:end])

    def _add_directions(self, spans: StreamSpans, sent: Int64s, answered: Flags) -> None:
        counts = self._rows["echo_count"].astype(np.int64)
        if not counts.any() and not any(stream.directions.active for stream in self._streams):
            return
        rows = EchoedRows(sent, self._rows["ssrc"].astype(np.int64), answered, counts)
        for owner, start, end in spans:
            stream = self._streams[owner]
            found = stream.directions.update(rows[start:end], self._settled_ns)
            self._sums.add_directions(stream, found)

    def _unusable(self) -> Flags:
        rows = self._rows
        a, x, r, y = rows["a"], rows["x"], rows["r"], rows["y"]
        # The packet path accepts no answer after `LOST_AFTER_NS`: the wall clock has just stepped.
        unusable: Flags = (x < a) | (r < x) | (y < r) | (r - x > LOST_AFTER_NS) | self._across_step
        return unusable

    def _measure(self, rows: Rows, owners: Int64s) -> None:
        arrivals, sent, returned = (np.ascontiguousarray(rows[name]) for name in ("a", "x", "r"))
        round_trips = returned - sent
        residences = (sent - arrivals) + (rows["y"] - returned)
        columns = _MeasuredRows(self._slots, self._totals, owners, self._seconds_of(sent, owners), self._sums)
        columns.record("round_trip", round_trips)
        self._totals.keep_latest(self._slots[owners], round_trips)
        columns.record("residence", residences)
        for owner, start, _ in columns.spans:
            if self._streams[owner].first_return_ns is None:
                self._streams[owner].first_return_ns = int(round_trips[start] + residences[start])
                self._streams[owner].first_arrival_ns = self._streams[owner].clock.wall_ns(int(arrivals[start]))
        self._count_codecs(columns, rows["payload_type"], owners)
        self._measure_echo(rows, owners, round_trips)
        self._count_echo_witnesses(columns, rows)
        self._measure_reordering(columns, sent, returned)
        timed = rows["payload_type"] != TELEPHONE_EVENT_PAYLOAD_TYPE
        if not self._current.all():
            timed &= self._current[owners]
        if not timed.all():
            columns = _MeasuredRows(self._slots, self._totals, owners[timed], columns.seconds[timed], self._sums)
            rows, arrivals, returned = rows[timed], arrivals[timed], returned[timed]
            round_trips, residences = round_trips[timed], residences[timed]
        if arrivals.size:
            self._measure_lateness(columns, rows, arrivals, returned, round_trips, residences)

    def _count_codecs(self, columns: _MeasuredRows, payload_types: NDArray[np.uint8], owners: Int64s) -> None:
        clock_rates_hz = np.array([stream.clock_rate_hz for stream in self._streams])
        packet_ns = np.array([stream.packet_ns for stream in self._streams])
        g711, other = is_g711(payload_types, clock_rates_hz[owners])
        columns.count("g711_packets", g711)
        columns.count("g711_ns", packet_ns[owners] * g711)
        columns.count("other_codec_packets", other)

    def _measure_echo(self, rows: Rows, owners: Int64s, round_trips: Int64s) -> None:
        # The echo can't hold a packet for longer than the round trip: its clock stepped meanwhile.
        filled = (rows["echo_count"] != 0) & (rows["echo_residence_ns"] <= round_trips)
        if not filled.any():
            return
        rows = rows[filled]
        seconds = self._seconds_of(rows["x"], owners[filled])
        columns = _MeasuredRows(self._slots, self._totals, owners[filled], seconds, self._sums)
        held = rows["echo_residence_ns"].astype(np.int64)
        columns.record("echo_residence", held)
        columns.record("network_round_trip", round_trips[filled] - held)

    def _count_echo_witnesses(self, columns: _MeasuredRows, rows: Rows) -> None:
        """Count answers from other machines, whose host time the echo alone can report."""
        elsewhere = ~rows["echo_is_local"]
        if elsewhere.any():
            reported = rows["echo_host_ns"] >= 0
            columns.count("echo_host_reported", elsewhere & reported)
            columns.count("echo_host_unreported", elsewhere & ~reported)

    def _measure_reordering(self, columns: _MeasuredRows, sent: Int64s, returned: Int64s) -> None:
        spans = columns.spans
        falling = (np.diff(sent) <= 0) | (np.diff(returned) < 0)
        falling[spans.starts[1:] - 1] = False
        disordered = set(spans.ordinals[1:][falling].tolist()) if falling.any() else ()
        for at, (owner, start, end) in enumerate(spans):
            stream = self._streams[owner]
            overtaken = stream.returns.update(
                sent[start:end], returned[start:end], in_order=at not in disordered, collected_ns=self._now_ns
            )
            for packet in overtaken:
                part = Slice(
                    reordered=1,
                    max_reordering_extent=packet.extent,
                    max_reordering_late_ns=packet.late_time_ns,
                    max_n_reordering=packet.n,
                )
                self._sums.add(stream, int(columns.seconds[start + packet.row]), part)

    def _measure_lateness(
        self,
        columns: _MeasuredRows,
        rows: Rows,
        arrivals: Int64s,
        returned: Int64s,
        round_trips: Int64s,
        residences: Int64s,
    ) -> None:
        spans = columns.spans
        streams = [self._streams[owner] for owner in spans.owners]
        timestamps = rows["timestamp"].astype(np.int64)
        baselines = [stream.lateness for stream in streams]
        slewed = streams[0].clock.slewed_ns(arrivals)
        late = measure_lateness(baselines, spans, arrivals, timestamps, rows["marker"] != 0, round_trips, slewed)
        columns.record("source_variation", late.variation_ns)
        self._count_late(columns, rows, Excess(late.source_ns, residences, late.echo_ns))
        after_each = update_jitter(
            [each.jitter for each in streams], spans.ordinals, returned, timestamps, late.anchors
        )
        columns.add_jitter("jitter", after_each)
        jitters = [each.source_jitter for each in streams]
        columns.add_jitter("source_jitter", update_jitter(jitters, spans.ordinals, arrivals, timestamps, late.anchors))
        self._add_estimates(streams, columns.seconds[spans.ends - 1].tolist())

    def _count_late(self, columns: _MeasuredRows, rows: Rows, excess: Excess) -> None:
        columns.count("witnessed", (rows["echo_host_ns"] >= 0) | self._stalls.watching)
        spans = columns.spans
        thresholds = np.array([self._streams[owner].lateness.threshold_ns for owner in spans.owners])[spans.ordinals]
        late = np.flatnonzero(excess.total > thresholds)
        if not late.size:
            return
        parts = excess.of(late)
        rows = rows[late]
        begin_ns = int((rows["a"] - np.maximum(parts.source, 0)).min())
        causes = find_causes(parts, find_host_time(rows, parts, self._stalls.since(begin_ns)), thresholds[late])
        for name in LATE_COUNTS:
            flags = np.zeros(columns.seconds.size, np.bool_)
            flags[late] = getattr(causes, name)
            columns.count(f"late_{name}", flags)

    def _add_estimates(self, streams: Sequence[StreamStatistics], seconds: Sequence[int]) -> None:
        """Add the skew of each stream that has one to the second of its last packet, and to its call."""
        skews = [(stream.reader.slot, stream.skew_ppm, stream.lateness.skew.clamped) for stream in streams]
        measured = [(slot, ppm, clamped) for slot, ppm, clamped in skews if ppm is not None]
        for (_, ppm, clamped), second in zip(skews, seconds, strict=True):
            if ppm is not None:
                part = self._sums.at(second)
                part.skew_sum_ppm += ppm
                part.skew_count += 1
                part.skew_clamped += clamped
        if measured:
            slots, estimates, flags = zip(*measured, strict=True)
            self._totals.add_skews(np.array(slots), estimates, flags)


class _MeasuredRows:
    """Answered rows of a batch. Their figures go to the seconds and to the calls. `slots` are by owner."""

    def __init__(self, slots: Int64s, totals: CallTotals, owners: Int64s, seconds: Int64s, sums: _Sums) -> None:
        # With their groups, as `_grouped` does.
        self.seconds = seconds
        self._spans: StreamSpans | None = None
        self._owners = owners
        self._slots = slots
        self._totals = totals
        self._sums = sums
        self._by_second: list[tuple[Slice, Flags | None]] | None = None
        self._by_group: list[tuple[int, Flags | None]] | None = None

    @property
    def spans(self) -> StreamSpans:
        """The rows of each stream; there must be rows."""
        if self._spans is None:
            self._spans = StreamSpans(self._owners)
        return self._spans

    def record(self, name: str, values_ns: Int64s) -> None:
        """Count values in the histogram of this name."""
        if TIMES[name].metric:
            for group, here in self._groups():
                self._sums.times.append((group, name, values_ns if here is None else values_ns[here]))
        buckets = buckets_of(values_ns)
        spans = self.spans
        extremes = np.minimum.reduceat(values_ns, spans.starts), np.maximum.reduceat(values_ns, spans.starts)
        self._totals.record(name, buckets, self._slots[self._owners], self._slots[spans.owners], *extremes)
        for part, here in self._slices():
            if here is None:
                record_all(getattr(part, name), values_ns, buckets)
            else:
                record_all(getattr(part, name), values_ns[here], buckets[here])

    def count(self, name: str, values: Flags | Int64s) -> None:
        """Add the values up; of flags, the number that are set."""
        if not values.any():
            return
        self._totals.count(name, self._slots[self.spans.owners], self.spans.sums(values))
        for part, here in self._slices():
            number = int((values if here is None else values[here]).sum())
            setattr(part, name, getattr(part, name) + number)

    def add_jitter(self, name: JitterName, estimates_us: Floats) -> None:
        """Add J of each packet; NaN where it was not compared."""
        compared = ~np.isnan(estimates_us)
        values = np.where(compared, estimates_us, 0.0)
        starts = self.spans.starts
        sums, maxima = np.add.reduceat(values, starts), np.maximum.reduceat(values, starts)
        self._totals.add_jitter(name, self._slots[self.spans.owners], sums, self.spans.sums(compared), maxima)
        for part, here in self._slices():
            inside = values if here is None else values[here]
            count = int(np.count_nonzero(compared if here is None else compared & here))
            part.add_jitter(name, float(inside.sum()), count, float(inside.max()))

    def _groups(self) -> list[tuple[int, Flags | None]]:
        if self._by_group is None:
            groups = self.seconds % MAX_GROUPS
            found = np.unique(groups).tolist()
            self._by_group = [(each, None if len(found) == 1 else groups == each) for each in found]
        return self._by_group

    def _slices(self) -> list[tuple[Slice, Flags | None]]:
        if self._by_second is None:
            seconds = np.unique(self.seconds).tolist()
            one = len(seconds) == 1
            self._by_second = [(self._sums.at(each), None if one else self.seconds == each) for each in seconds]
        return self._by_second
