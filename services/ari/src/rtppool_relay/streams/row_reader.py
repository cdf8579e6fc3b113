"""Reads finished rows of a slot: answered ones at once, unanswered ones when they are finally lost."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_core.rtp.echo_extension import HOST_UNIT_NS
from rtppool_core.rtp.header import PAYLOAD_TYPE_MASK
from rtppool_core.rtp.serial import MAX_MISORDER
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.media.rows import (
    COUNTERS,
    DEPARTURE_ERRORS,
    DEPARTURE_ERRORS_OFFSET_WORDS,
    DSCP_BITS,
    LOST_AFTER_NS,
    ORDINALS,
    WORDS,
    WRITTEN_DTYPE,
    Word,
    latest_ordinal,
    slot_offset,
)
from rtppool_relay.media.sizes import HEADER_BYTES, ROW_BYTES, ROWS_PER_SLOT
from rtppool_relay.streams.steady_clock import SteadyClock

# The form for computing: times in ns of the wall clock, `r` and `y` 0 in unanswered rows. `y_cpu`, `r_cpu` and
# `echo_is_local` count in answered rows only. `echo_host_ns` is -1 where the echo did not report it.
ROW_DTYPE = np.dtype(
    [
        ("a", "<i8"),
        ("x", "<i8"),
        ("r", "<i8"),
        ("y", "<i8"),
        ("index", "<u8"),
        ("x_raw", "<u4"),
        ("y_raw", "<u4"),
        ("ssrc", "<u4"),
        ("timestamp", "<u4"),
        ("epoch", "<u2"),
        ("bytes", "<u2"),
        ("payload_type", "u1"),
        ("marker", "u1"),
        ("tos", "u1"),
        ("answered", "?"),
        ("echo_count", "<u4"),
        ("echo_residence_ns", "<u4"),
        ("echo_host_ns", "<i8"),
        ("x_cpu", "u1"),
        ("y_cpu", "u1"),
        ("r_cpu", "u1"),
        ("echo_is_local", "?"),
    ]
)
_COPIED = (
    *("x", "y", "x_raw", "y_raw", "index", "ssrc", "timestamp", "epoch", "bytes", "tos"),
    *("echo_count", "echo_residence_ns", "x_cpu", "y_cpu", "r_cpu"),
)

# The writer may answer a packet until it is lost. Half a second more covers scheduling.
SETTLED_AFTER_NS = LOST_AFTER_NS + 500_000_000
# At a call's end: ten times the limit of the round trip, so no verdict would accept a later answer.
SETTLED_AT_END_AFTER_NS = 200_000_000

MARKER_SHIFT = 7
# Beyond half a ring, reading all of it is as fast.
MAX_ROWS_BEHIND = ROWS_PER_SLOT // 2
MIN_ROWS_AHEAD = 32
CELLS = ROW_BYTES // 8
_WALL_CLOCK = SteadyClock()
_EVERYWHERE = np.arange(ROWS_PER_SLOT)
Rows = NDArray[np.void]


def read_rows(written: Rows) -> Rows:
    """Convert rows of `WRITTEN_DTYPE` to rows of `ROW_DTYPE`."""
    rows: Rows = np.empty(written.size, ROW_DTYPE)
    for name in _COPIED:
        rows[name] = written[name]
    for stamp in ("a", "r"):
        rows[stamp] = written[f"{stamp}_seconds"] * np.int64(NS_PER_SECOND) + written[f"{stamp}_nanoseconds"]
    rows["payload_type"] = written["second_byte"] & PAYLOAD_TYPE_MASK
    rows["marker"] = written["second_byte"] >> MARKER_SHIFT
    rows["answered"] = written["answered"] != 0
    rows["echo_is_local"] = written["echo_is_local"] != 0
    # -1 where the echo reported none.
    rows["echo_host_ns"] = np.maximum((written["echo_host"] - np.int64(1)) * HOST_UNIT_NS, -1)
    return rows


@dataclass(slots=True)
class RowReader:
    """One slot's reader. `overruns` counts rows that were overwritten before they were read."""

    memory: mmap.mmap
    slot: int
    overruns: int = 0
    _taken: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(ROWS_PER_SLOT, np.uint64))
    _rows: Rows = field(init=False)
    _words: NDArray[np.uint64] = field(init=False)
    _seen: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(WORDS, np.uint64))
    _rows_taken: int = 0
    _ordinal: int = 0
    _sent: int = 0
    _mismatches: int = 0
    _reported: dict[Word, int] = field(default_factory=dict)
    _departures_seen: int = 0
    _errors: NDArray[np.int64] = field(init=False)
    _index: NDArray[np.uint64] = field(init=False)
    _cells: NDArray[np.int64] = field(init=False)
    # Where to read next: rows from `_oldest` on may still finish, the highest index seen is below `_next`.
    _epoch: int = 0
    _oldest: int = 0
    _next: int = 0
    _ahead: int = MIN_ROWS_AHEAD

    def __post_init__(self) -> None:
        """Lay views over the slot without a copy."""
        offset = slot_offset(self.slot)
        self._words = np.frombuffer(self.memory, np.uint64, WORDS, offset)
        errors_offset = offset + 8 * DEPARTURE_ERRORS_OFFSET_WORDS
        self._errors = np.frombuffer(self.memory, np.int64, DEPARTURE_ERRORS, errors_offset)
        self._rows = np.frombuffer(self.memory, WRITTEN_DTYPE, ROWS_PER_SLOT, offset + HEADER_BYTES)
        self._index = self._rows["index"]
        # The same rows as words: whole records are copied field by field.
        cells = np.frombuffer(self.memory, np.int64, ROWS_PER_SLOT * CELLS, offset + HEADER_BYTES)
        self._cells = cells.reshape(-1, CELLS)

    def word(self, word: Word) -> int:
        """Return the current value of a header word."""
        return int(self._words[word])

    def counted_since_last(self) -> dict[Word, int]:
        """Return how much each counter grew since the last call, without unchanged ones."""
        now = self._words.copy()
        grown = now - self._seen
        self._seen = now
        counted = {word: int(grown[word]) for word in COUNTERS if grown[word]} if grown.any() else {}
        for word, total in ((Word.SENT_TO_ECHO, self._sent), (Word.SOURCE_DSCP_MISMATCH, self._mismatches)):
            if total != self._reported.get(word, 0):
                counted[word] = total - self._reported.get(word, 0)
                self._reported[word] = total
        return counted

    def departure_errors(self) -> NDArray[np.int64]:
        """Return the errors of departures since the last call: kernel stamp - our own reading, in ns."""
        stamped = self.word(Word.DEPARTURES_STAMPED)
        fresh = min(stamped - self._departures_seen, DEPARTURE_ERRORS)
        self._departures_seen = stamped
        errors: NDArray[np.int64] = self._errors[np.arange(stamped - fresh, stamped) % DEPARTURE_ERRORS]
        return errors

    def take(self, now_ns: int, settled_after_ns: int = SETTLED_AFTER_NS) -> Rows:
        """Return the rows whose fate is known, each once, in order of their index, as `ROW_DTYPE`."""
        return read_rows(self.take_written(now_ns, settled_after_ns))

    def take_written(
        self, now_ns: int, settled_after_ns: int = SETTLED_AFTER_NS, clock: SteadyClock = _WALL_CLOCK
    ) -> Rows:
        """Return the same as rows of `WRITTEN_DTYPE`, for a caller that converts many slots at once.

        `now_ns` is a time of `clock`, by default the wall clock's.
        """
        candidates, index, whole = self._fresh()
        if candidates.size == 0:
            return self._rows[:0].copy()
        copied = self._cells[candidates]
        rows: Rows = copied.view(WRITTEN_DTYPE)[:, 0]
        self._count_sent(rows)
        final = (rows["answered"] != 0) | clock.sent_before(rows, now_ns - settled_after_ns, now_ns)
        # A row that was overwritten while it was copied shows another index.
        final &= (rows["index"] == index) & (self._index[candidates] == index)
        self._advance(index, final, whole=whole)
        # Rows in order of their index. A ring holds them in at most two ordered parts.
        order = np.flatnonzero(final)
        order = order[np.argsort(index[order], kind="stable")]
        taken = candidates[order]
        self._taken[taken] = index[order]
        self._rows_taken += order.size
        if whole:
            # A reader that has fallen behind finds its part of the ring full, and reads all of it.
            self.overruns = max(self.overruns, self._sent - self._rows_taken - int(candidates.size - order.size))
        given: Rows = copied[order].view(WRITTEN_DTYPE)[:, 0]
        self._mismatches += int(np.count_nonzero((given["tos"] ^ self.word(Word.TOS)) & DSCP_BITS))
        return given

    def holds(self, index: int) -> bool:
        """Whether the row of this index is in the ring, taken or not."""
        return bool(self._index[index % ROWS_PER_SLOT] == index)

    def _fresh(self) -> tuple[NDArray[np.intp], NDArray[np.uint64], bool]:
        """Find the rows not taken yet: their places, their indexes, and whether the whole ring was searched.

        The rings of a hundred calls exceed a processor's nearer caches. So only the rows that may have been written
        since the last call are read. The whole ring is read at the start of a stream, and when that part has no new
        row or is full: after a gap the next rows lie anywhere.
        """
        epoch = self.word(Word.EPOCH)
        if epoch == self._epoch and self._next - self._oldest <= MAX_ROWS_BEHIND:
            places = np.arange(self._oldest, self._next + self._ahead) % ROWS_PER_SLOT
            index = self._index[places]
            found = self._not_taken(places, index)
            if index[-1] < self._next and found[1].max(initial=0) >= self._next:
                return *found, False
        self._epoch = epoch
        return *self._not_taken(_EVERYWHERE, self._index.copy()), True

    def _not_taken(
        self, places: NDArray[np.intp], index: NDArray[np.uint64]
    ) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        found = np.flatnonzero((index != self._taken[places]) & (index != 0))
        return places[found], index[found]

    def _advance(self, index: NDArray[np.uint64], final: NDArray[np.bool_], *, whole: bool) -> None:
        """Set where the next call reads: from the first row that may still finish to beyond the last one seen."""
        after = int(index.max()) + 1
        # Twice as many rows as came since the last call, so that a busy second is not cut short.
        self._ahead = min(max(MIN_ROWS_AHEAD, 2 * (after - self._next)), ROWS_PER_SLOT - MAX_ROWS_BEHIND)
        # A source that returns has lower indexes than the one between; such a change is followed by a whole read.
        self._next = after if whole else max(self._next, after)
        self._oldest = max(0, self._next - MAX_MISORDER)
        if not final.all():
            self._oldest = min(self._oldest, int(index[~final].min()))

    def _count_sent(self, rows: Rows) -> None:
        """Count the rows written since the last call by their ordinals, rows overwritten unread included."""
        latest = latest_ordinal(rows["ordinal"], self._ordinal)
        more = (latest - self._ordinal) % ORDINALS
        # When no row is new, the latest one is an older row that waits for its answer.
        if more < ORDINALS // 2:
            self._sent += more
            self._ordinal = latest
