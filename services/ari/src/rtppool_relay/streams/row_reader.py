"""Reads finished rows of slots: answered ones at once, unanswered ones when they are finally lost.

All slots of a collection are read together (`take_all`): a numpy call over the rows of hundreds of slots costs little
more than one over the rows of a single slot. The rings of a hundred calls exceed a processor's nearer caches. So only
rows are read that may have been written since the last time, and that were not taken yet.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

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
)
from rtppool_relay.media.sizes import HEADER_BYTES, ROW_BYTES, ROWS_PER_SLOT, SLOT_BYTES
from rtppool_relay.streams.call_totals import CallTotals
from rtppool_relay.streams.columns import StreamSpans, ranges
from rtppool_relay.streams.histories import Histories, in_pages
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
# The memory as rows: those of a slot follow the rows that its header takes.
_SLOT_ROWS = SLOT_BYTES // ROW_BYTES
_HEADER_ROWS = HEADER_BYTES // ROW_BYTES
_WALL_CLOCK = SteadyClock()
_EVERYWHERE = np.arange(ROWS_PER_SLOT)
Rows = NDArray[np.void]
Int64s = NDArray[np.int64]
Uint64s = NDArray[np.uint64]
Flags = NDArray[np.bool_]


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


class RowRings:
    """The rings of all slots of one memory, and how far its only reader has read each. Arrays are by slot.

    Attributes:
        words: the header's words.
        overruns: rows that were overwritten before they were read.
        histories: the packets of the last 30 s of each slot's stream.
        totals: the figures of each slot's call.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        """Lay views over the memory without a copy."""
        slots = len(memory) // SLOT_BYTES
        self.words = np.ndarray((slots, WORDS), np.uint64, memory, 0, (SLOT_BYTES, 8))
        errors_offset = 8 * DEPARTURE_ERRORS_OFFSET_WORDS
        self.errors = np.ndarray((slots, DEPARTURE_ERRORS), np.int64, memory, errors_offset, (SLOT_BYTES, 8))
        # As words: whole records are copied field by field.
        self.cells = np.ndarray((slots * _SLOT_ROWS, CELLS), np.int64, memory)
        rows: Rows = np.ndarray(slots * _SLOT_ROWS, WRITTEN_DTYPE, memory)
        self.index: Uint64s = rows["index"]
        self.answered: NDArray[np.uint16] = rows["answered"]
        # The index of the row that was taken last at each place.
        self.taken: Uint64s = in_pages(1, slots * _SLOT_ROWS, np.uint64)[0]
        # Where to read next: rows from `oldest` on may still finish, the highest index seen is below `next`.
        self.epoch, self.oldest, self.next, self.ahead = np.zeros((4, slots), np.int64)
        self.ordinal, self.sent, self.mismatches, self.rows_taken, self.overruns = np.zeros((5, slots), np.int64)
        self.departures_seen = np.zeros(slots, np.int64)
        # The index after the rows that are known to be answered; 0 for none.
        self.following = np.zeros(slots, np.int64)
        self.counted = np.zeros((slots, len(Word)), np.uint64)
        self.histories, self.totals = Histories(slots), CallTotals(slots)

    def begin(self, slot: int) -> None:
        """Read a slot from its first row on."""
        self.taken[slot * _SLOT_ROWS : (slot + 1) * _SLOT_ROWS] = 0
        for state in (self.epoch, self.oldest, self.next, self.ordinal, self.sent, self.mismatches):
            state[slot] = 0
        self.ahead[slot] = MIN_ROWS_AHEAD
        self.rows_taken[slot] = self.overruns[slot] = self.departures_seen[slot] = self.following[slot] = 0
        self.counted[slot] = 0
        self.totals.begin(slot)


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows of `WRITTEN_DTYPE` in order of their index, stream by stream. `owners` are positions of their readers."""

    rows: Rows
    owners: Int64s


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows that are not taken yet: their readers' positions, their places in the memory, and their indexes."""

    owners: Int64s
    places: Int64s
    index: Uint64s

    def select(self, chosen: Flags | Int64s) -> _Found:
        return _Found(self.owners[chosen], self.places[chosen], self.index[chosen])

    def followed_by(self, other: _Found) -> _Found:
        return _Found(
            np.concatenate((self.owners, other.owners)),
            np.concatenate((self.places, other.places)),
            np.concatenate((self.index, other.index)),
        )


class RowReader:
    """One slot's reader. A new one begins with the first row."""

    __slots__ = ("rings", "slot")

    def __init__(self, rings: RowRings, slot: int) -> None:
        self.rings = rings
        self.slot = slot
        rings.begin(slot)

    @property
    def overruns(self) -> int:
        """Rows that were overwritten before they were read."""
        return int(self.rings.overruns[self.slot])

    def word(self, word: Word) -> int:
        """Return the current value of a header word."""
        return int(self.rings.words[self.slot, word])

    def take(self, now_ns: int, settled_after_ns: int = SETTLED_AFTER_NS) -> Rows:
        """Return the rows whose fate is known, each once, in order of their index, as `ROW_DTYPE`.

        `now_ns` is a time of the wall clock.
        """
        return read_rows(take_all([self], now_ns, settled_after_ns).rows)

    def awaits_answers(self) -> bool:
        """Return whether a row waits for its answer that was written where the next rows are expected.

        Rows of a new stream may. Those behind a gap in the sequence are found by `take`.
        """
        rings, slots = _of([self])
        if self.word(Word.EPOCH) != rings.epoch[self.slot]:
            return True
        # All rows before this one had their answers at an earlier call.
        following = int(rings.following[self.slot])
        if following and not self.holds(following):
            return False
        found, _ = _find_near(rings, slots, np.zeros(1, np.int64))
        if not rings.answered[found.places].all():
            return True
        rings.following[self.slot] = max(int(found.index.max(initial=0)) + 1, int(rings.next[self.slot]))
        return False

    def holds(self, index: int) -> bool:
        """Whether the row of this index is in the ring, taken or not."""
        place = self.slot * _SLOT_ROWS + _HEADER_ROWS + index % ROWS_PER_SLOT
        return bool(self.rings.index[place] == index)


def count_all(readers: Sequence[RowReader]) -> Uint64s:
    """Return how much each counter of each slot grew since the last call: a row for each slot, a column for each word.

    Only the columns of `COUNTERS` are counters.
    """
    rings, slots = _of(readers)
    from_rows = np.stack((rings.sent[slots], rings.mismatches[slots]), axis=1).astype(np.uint64)
    counted = np.concatenate((rings.words[slots], from_rows), axis=1)
    grown: Uint64s = counted - rings.counted[slots]
    rings.counted[slots] = counted
    return grown


def by_counter(grown: Uint64s) -> dict[Word, int]:
    """Return the growth of each counter over all slots, of `count_all`, without unchanged ones."""
    totals = grown.sum(axis=0).tolist()
    return {word: totals[word] for word in COUNTERS if totals[word]}


def departure_errors(readers: Sequence[RowReader]) -> Int64s:
    """Return the errors of departures since the last call: kernel stamp - our own reading, in ns, slot by slot."""
    rings, slots = _of(readers)
    stamped = rings.words[slots, Word.DEPARTURES_STAMPED].astype(np.int64)
    fresh = np.minimum(stamped - rings.departures_seen[slots], DEPARTURE_ERRORS)
    rings.departures_seen[slots] = stamped
    owners, numbers = ranges(stamped - fresh, fresh)
    errors: Int64s = rings.errors[slots[owners], numbers % DEPARTURE_ERRORS]
    return errors


def take_all(
    readers: Sequence[RowReader],
    now_ns: int,
    settled_after_ns: int = SETTLED_AFTER_NS,
    clock: SteadyClock = _WALL_CLOCK,
) -> Taken:
    """Return the rows of these slots of one memory whose fate is known, each once.

    `now_ns` is a time of `clock`, by default the wall clock's.
    """
    rings, slots = _of(readers)
    found, is_whole = _find(rings, slots)
    copied = np.take(rings.cells, found.places, axis=0)
    rows: Rows = copied.view(WRITTEN_DTYPE)[:, 0]
    if not rows.size:
        return Taken(rows, found.owners)
    spans = StreamSpans(found.owners)
    _count_sent(rings, slots[spans.owners], rows["ordinal"], spans)
    final = (rows["answered"] != 0) | clock.sent_before(rows, now_ns - settled_after_ns, now_ns)
    # A row that was overwritten while it was copied shows another index.
    final &= (rows["index"] == found.index) & (rings.index[found.places] == found.index)
    is_whole = is_whole[spans.owners]
    _advance(rings, slots[spans.owners], found.index, final, spans, is_whole)
    _mark_taken(rings, slots[spans.owners], found, final, spans, is_whole)
    if not final.all():
        rows = copied[final].view(WRITTEN_DTYPE)[:, 0]
    taken = Taken(rows, found.owners[final])
    mismatched = ((rows["tos"] ^ rings.words[slots, Word.TOS].astype(np.uint8)[taken.owners]) & DSCP_BITS) != 0
    rings.mismatches[slots] += np.bincount(taken.owners[mismatched], minlength=slots.size)
    return taken


def _of(readers: Sequence[RowReader]) -> tuple[RowRings, Int64s]:
    return readers[0].rings, np.array([reader.slot for reader in readers])


def _find(rings: RowRings, slots: Int64s) -> tuple[_Found, Flags]:
    """Find the rows not taken yet, stream by stream in order of their index, and flag slots that were read as a whole.

    Of most slots, only the rows are read that may have been written since the last call. The whole ring is read at the
    start of a stream, and when that part has no new row or is full: after a gap the next rows lie anywhere.
    """
    epochs = rings.words[slots, Word.EPOCH].astype(np.int64)
    is_whole = epochs != rings.epoch[slots]
    is_whole |= rings.next[slots] - rings.oldest[slots] > MAX_ROWS_BEHIND
    near = np.flatnonzero(~is_whole)
    beside, suffices = _find_near(rings, slots, near)
    is_whole[near[~suffices]] = True
    whole = np.flatnonzero(is_whole)
    if not whole.size:
        return _in_order(beside), is_whole
    rings.epoch[slots[whole]] = epochs[whole]
    places = _place(slots[whole, np.newaxis], _EVERYWHERE).ravel()
    everywhere = _not_taken(rings, np.repeat(whole, ROWS_PER_SLOT), places)
    return _in_order(beside.select(~is_whole[beside.owners]).followed_by(everywhere)), is_whole


def _find_near(rings: RowRings, slots: Int64s, near: Int64s) -> tuple[_Found, Flags]:
    """Find rows of these slots where they may have been written since the last call, and flag where that suffices."""
    of = slots[near]
    oldest, after = rings.oldest[of], rings.next[of]
    owners, expected = ranges(oldest, after + rings.ahead[of] - oldest)
    places = _place(of[owners], expected)
    unread = rings.taken[places] != expected.astype(np.uint64)
    found = _not_taken(rings, owners[unread], places[unread])
    highest = np.zeros(near.size, np.uint64)
    np.maximum.at(highest, found.owners, found.index)
    after = after.astype(np.uint64)
    last = rings.index[_place(of, rings.next[of] + rings.ahead[of] - 1)]
    return _Found(near[found.owners], found.places, found.index), (last < after) & (highest >= after)


def _not_taken(rings: RowRings, owners: Int64s, places: Int64s) -> _Found:
    index = rings.index[places]
    found = np.flatnonzero((index != rings.taken[places]) & (index != 0))
    return _Found(owners[found], places[found], index[found])


def _place(slots: Int64s, index: Int64s) -> Int64s:
    places: Int64s = slots * _SLOT_ROWS + (_HEADER_ROWS + index % ROWS_PER_SLOT)
    return places


def _in_order(found: _Found) -> _Found:
    falls = (found.index[1:] < found.index[:-1]) & (found.owners[1:] == found.owners[:-1])
    if not falls.any() and not (found.owners[1:] < found.owners[:-1]).any():
        return found
    return found.select(np.lexsort((found.index, found.owners)))


def _count_sent(rings: RowRings, slots: Int64s, ordinals: NDArray[np.uint16], spans: StreamSpans) -> None:
    """Count the rows written since the last call by their ordinals, rows overwritten unread included."""
    before = rings.ordinal[slots]
    # Of 16 bits: the difference wraps as ordinals do.
    ahead = ordinals - (before + ORDINALS // 2).astype(np.uint16)[spans.ordinals]
    more = np.maximum.reduceat(ahead, spans.starts).astype(np.int64) - ORDINALS // 2
    # When no row is new, the latest one is an older row that waits for its answer.
    more = np.maximum(more, 0)
    rings.sent[slots] += more
    rings.ordinal[slots] = (before + more) % ORDINALS


def _advance(rings: RowRings, slots: Int64s, index: Uint64s, final: Flags, spans: StreamSpans, is_whole: Flags) -> None:
    """Set where the next call reads: from the first row that may still finish to beyond the last one seen."""
    after = index[spans.ends - 1].astype(np.int64) + 1
    expected = rings.next[slots]
    # Twice as many rows as came since the last call, so that a busy second is not cut short.
    rings.ahead[slots] = np.clip(2 * (after - expected), MIN_ROWS_AHEAD, ROWS_PER_SLOT - MAX_ROWS_BEHIND)
    # A source that returns has lower indexes than the one between; such a change is followed by a whole read.
    rings.next[slots] = np.where(is_whole, after, np.maximum(expected, after))
    oldest = np.maximum(rings.next[slots] - MAX_MISORDER, 0)
    if not final.all():
        unfinished = np.where(final, np.iinfo(np.int64).max, index.astype(np.int64))
        oldest = np.minimum(oldest, np.minimum.reduceat(unfinished, spans.starts))
    rings.oldest[slots] = oldest


def _mark_taken(
    rings: RowRings, slots: Int64s, found: _Found, final: Flags, spans: StreamSpans, is_whole: Flags
) -> None:
    rings.taken[found.places[final]] = found.index[final]
    taken = np.add.reduceat(final, spans.starts, dtype=np.int64)
    rings.rows_taken[slots] += taken
    # A reader that has fallen behind finds its part of the ring full, and reads all of it.
    waiting = spans.ends - spans.starts - taken
    unread = rings.sent[slots] - rings.rows_taken[slots] - waiting
    rings.overruns[slots] = np.where(is_whole, np.maximum(rings.overruns[slots], unread), rings.overruns[slots])
