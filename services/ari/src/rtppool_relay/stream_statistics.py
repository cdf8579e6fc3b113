"""One slot's rows turned into figures: for the windows by second, and for the call as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.lateness import LatenessBaseline
from rtppool_relay.row_histogram import record_all
from rtppool_relay.row_reader import SETTLED_AFTER_NS, SETTLED_AT_END_AFTER_NS, RowReader, Rows
from rtppool_relay.rows import Word
from rtppool_relay.slices import NS_PER_SLICE, Slice
from rtppool_relay.source_gaps import SourceGaps
from rtppool_relay.stream_jitter import StreamJitter

Int64s = NDArray[np.int64]
SpansStep = Callable[[Int64s, Int64s], NDArray[np.bool_]]
Observe = Callable[[Int64s, Int64s], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """What became known: figures by Unix second, and how much each of the slot's counters grew."""

    by_second: dict[int, Slice]
    counted: dict[Word, int]


@dataclass(slots=True)
class StreamStatistics:
    """State of one slot. `observe` gets the round trips and residences (ns) of every answered packet.

    `spans_step(starts, ends)` tells which intervals lie across a step of the wall clock; those samples are dropped
    and counted in `samples_dropped`.
    """

    reader: RowReader
    clock_rate_hz: int
    late_threshold_ns: int
    spans_step: SpansStep
    observe: Observe
    total: Slice = field(default_factory=Slice)
    samples_dropped: int = 0
    sources: set[int] = field(default_factory=set)
    _epoch: int | None = None
    _latest_sent_ns: int = 0
    _lateness: LatenessBaseline = field(init=False)
    _jitter: StreamJitter = field(init=False)
    _source_jitter: StreamJitter = field(init=False)
    _gaps: SourceGaps = field(default_factory=SourceGaps)

    def __post_init__(self) -> None:
        """Begin with empty baselines."""
        self._lateness = LatenessBaseline(self.clock_rate_hz, self.late_threshold_ns)
        self._jitter = StreamJitter(self.clock_rate_hz)
        self._source_jitter = StreamJitter(self.clock_rate_hz)

    @property
    def skew_ppm(self) -> float:
        """How much faster than ours Asterisk's clock runs backwards: transit's slope, in parts per million."""
        return self._lateness.skew_ppm

    def restart(self) -> None:
        """The wall clock stepped: nothing before it can be compared with what follows."""
        self._lateness.restart()
        self._jitter.restart()
        self._source_jitter.restart()

    def collect(self, now_ns: int) -> Collected:
        """Figures that became known since the last call."""
        return self._collect(now_ns, SETTLED_AFTER_NS, self._gaps.lost(now_ns))

    def finish(self, now_ns: int) -> Collected:
        """The same at a call's end: what is unanswered for 200 ms is lost, what is younger was cut by the end."""
        collected = self._collect(now_ns, SETTLED_AT_END_AFTER_NS, 0)
        left = Slice(source_lost=self._gaps.lost(now_ns, 0))
        if left.source_lost:
            self.total.add(left)
            collected.by_second.setdefault(now_ns // NS_PER_SLICE, Slice()).add(left)
        return collected

    def _collect(self, now_ns: int, settled_after_ns: int, source_lost: int) -> Collected:
        parts: dict[int, Slice] = {}
        rows = self.reader.take(now_ns, settled_after_ns)
        if rows.size:
            edges = [0, *(np.flatnonzero(np.diff(rows["epoch"])) + 1).tolist(), rows.size]
            for start, end in pairwise(edges):
                self._add_rows(rows[start:end], now_ns, parts)
        counted = self.reader.counted_since_last()
        events = Slice(
            duplicates=counted.get(Word.DUPLICATE_ECHO, 0),
            too_late=counted.get(Word.TOO_LATE, 0),
            source_lost=source_lost,
        )
        if events != Slice():
            parts.setdefault(now_ns // NS_PER_SLICE, Slice()).add(events)
        for part in parts.values():
            self.total.add(part)
        return Collected(parts, counted)

    def _add_rows(self, rows: Rows, now_ns: int, parts: dict[int, Slice]) -> None:
        """Rows of one epoch, in order of their index."""
        epoch = int(rows["epoch"][0])
        if epoch != self._epoch:
            if self._epoch is not None:
                self.restart()
            self._gaps.restart()
            self._epoch = epoch
        self.sources.add(int(rows["ssrc"][0]))
        self._gaps.update(rows["index"], now_ns, self.reader.holds)
        answered = rows["answered"] != 0
        measurable = answered & ~self._unusable(rows)
        self.samples_dropped += int(np.count_nonzero(answered) - np.count_nonzero(measurable))
        seconds = rows["x"] // NS_PER_SLICE
        for second in np.unique(seconds).tolist():
            here = seconds == second
            part = parts.setdefault(second, Slice())
            part.packets += int(np.count_nonzero(here))
            part.answered += int(np.count_nonzero(here & answered))
            if np.any(here & measurable):
                self._measure(rows[here & measurable], part)

    def _unusable(self, rows: Rows) -> NDArray[np.bool_]:
        backwards = (rows["x"] < rows["a"]) | (rows["r"] < rows["x"]) | (rows["y"] < rows["r"])
        unusable: NDArray[np.bool_] = backwards | self.spans_step(rows["a"], rows["y"])
        return unusable

    def _measure(self, rows: Rows, part: Slice) -> None:
        arrivals, sent, returned = rows["a"], rows["x"], rows["r"]
        timestamps = rows["timestamp"].astype(np.int64)
        round_trips = returned - sent
        residences = (sent - arrivals) + (rows["y"] - returned)
        record_all(part.round_trip, round_trips)
        record_all(part.residence, residences)
        self.observe(round_trips, residences)
        late = self._lateness.judge(arrivals, timestamps, rows["marker"] != 0, round_trips, residences)
        part.late_source += int(np.count_nonzero(late.source))
        part.late_relay += int(np.count_nonzero(late.relay))
        part.late_echo += int(np.count_nonzero(late.echo))
        part.reordered += self._reordered(sent, returned)
        self._jitter.update(returned, timestamps)
        self._source_jitter.update(arrivals, timestamps)
        if self._jitter.measured:
            part.jitter_sum_us += self._jitter.microseconds
            part.source_jitter_sum_us += self._source_jitter.microseconds
            part.jitter_count += 1

    def _reordered(self, sent: Int64s, returned: Int64s) -> int:
        """Answers that came after the answer of a packet sent later (RFC 4737 section 3.3, send time for sequence)."""
        in_order_of_return = sent[np.argsort(returned, kind="stable")]
        latest = np.maximum.accumulate(np.concatenate(([self._latest_sent_ns], in_order_of_return)))
        self._latest_sent_ns = int(latest[-1])
        return int(np.count_nonzero(in_order_of_return < latest[:-1]))
