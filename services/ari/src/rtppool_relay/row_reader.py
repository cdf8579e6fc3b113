"""Takes finished rows out of a slot: answered ones at once, unanswered ones when they are lost for good."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtppool_core.rtp import PAYLOAD_TYPE_MASK
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.rows import (
    COUNTERS,
    DEPARTURE_ERRORS,
    DEPARTURE_ERRORS_OFFSET_WORDS,
    DSCP_BITS,
    HEADER_BYTES,
    LOST_AFTER_NS,
    ORDINALS,
    ROWS_NAME,
    ROWS_PER_SLOT,
    SLOT_BYTES,
    SLOTS,
    WORDS,
    WRITTEN_DTYPE,
    Word,
    slot_offset,
)

# As they are computed with: times in ns, `r` and `y` 0 where nothing was answered.
ROW_DTYPE = np.dtype(
    [
        ("a", "<i8"),
        ("x", "<i8"),
        ("r", "<i8"),
        ("y", "<i8"),
        ("index", "<u8"),
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
    ]
)
_COPIED = ("x", "y", "index", "ssrc", "timestamp", "epoch", "bytes", "tos", "echo_count", "echo_residence_ns")

# A packet judged lost by the reader must not be answered by the writer a moment later: scheduling gets half a second.
SETTLED_AFTER_NS = LOST_AFTER_NS + 500_000_000
# At a call's end: the round trip that no verdict would accept any more, ten times the original's limit.
SETTLED_AT_END_AFTER_NS = 200_000_000

MARKER_SHIFT = 7
Rows = NDArray[np.void]


def read_rows(written: Rows) -> Rows:
    """Rows of `WRITTEN_DTYPE` as rows of `ROW_DTYPE`."""
    rows: Rows = np.empty(written.size, ROW_DTYPE)
    for name in _COPIED:
        rows[name] = written[name]
    rows["a"] = written["a_seconds"] * NS_PER_SECOND + written["a_nanoseconds"]
    rows["r"] = written["r_seconds"] * NS_PER_SECOND + written["r_nanoseconds"]
    rows["payload_type"] = written["second_byte"] & PAYLOAD_TYPE_MASK
    rows["marker"] = written["second_byte"] >> MARKER_SHIFT
    rows["answered"] = written["answered"] != 0
    return rows


def map_rows(pid: int) -> mmap.mmap:
    """The rows of a running relay, to be read from outside; `pid` is its control process's.

    Raises:
        LookupError: that process holds none.
    """
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            continue
        if ROWS_NAME in str(target):
            opened = os.open(descriptor, os.O_RDONLY)
            try:
                return mmap.mmap(opened, SLOTS * SLOT_BYTES, prot=mmap.PROT_READ)
            finally:
                os.close(opened)
    raise LookupError(f"process {pid} holds no {ROWS_NAME}")


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
    _told: dict[Word, int] = field(default_factory=dict)
    _departures_seen: int = 0
    _errors: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Lay views over the slot; nothing is copied."""
        offset = slot_offset(self.slot)
        self._words = np.frombuffer(self.memory, np.uint64, WORDS, offset)
        errors_offset = offset + 8 * DEPARTURE_ERRORS_OFFSET_WORDS
        self._errors = np.frombuffer(self.memory, np.int64, DEPARTURE_ERRORS, errors_offset)
        self._rows = np.frombuffer(self.memory, WRITTEN_DTYPE, ROWS_PER_SLOT, offset + HEADER_BYTES)

    def word(self, word: Word) -> int:
        """A header word as it is now."""
        return int(self._words[word])

    def counted_since_last(self) -> dict[Word, int]:
        """How much each counter grew since the last call, without those that stood still."""
        now = self._words.copy()
        grown = now - self._seen
        self._seen = now
        counted = {word: int(grown[word]) for word in COUNTERS if grown[word]} if grown.any() else {}
        for word, total in ((Word.SENT_TO_ECHO, self._sent), (Word.SOURCE_DSCP_MISMATCH, self._mismatches)):
            if total != self._told.get(word, 0):
                counted[word] = total - self._told.get(word, 0)
                self._told[word] = total
        return counted

    def departure_errors(self) -> NDArray[np.int64]:
        """What kernel stamps of departures said since the last call: stamp - our own reading, in ns."""
        stamped = self.word(Word.DEPARTURES_STAMPED)
        fresh = min(stamped - self._departures_seen, DEPARTURE_ERRORS)
        self._departures_seen = stamped
        errors: NDArray[np.int64] = self._errors[np.arange(stamped - fresh, stamped) % DEPARTURE_ERRORS]
        return errors

    def take(self, now_ns: int, settled_after_ns: int = SETTLED_AFTER_NS) -> Rows:
        """Rows whose fate is known, each once, in order of their index, as rows of `ROW_DTYPE`."""
        return read_rows(self.take_written(now_ns, settled_after_ns))

    def take_written(self, now_ns: int, settled_after_ns: int = SETTLED_AFTER_NS) -> Rows:
        """The same as rows of `WRITTEN_DTYPE`, for those who read many slots' rows at once."""
        index = self._rows["index"].copy()
        fresh = (index != self._taken) & (index != 0)
        candidates = np.flatnonzero(fresh)
        if candidates.size == 0:
            return self._rows[:0].copy()
        rows = self._rows[candidates]
        self._count_sent(rows)
        final = (rows["answered"] != 0) | (rows["x"] < now_ns - settled_after_ns)
        # A row that was overwritten while it was copied shows another index.
        final &= (rows["index"] == index[candidates]) & (self._rows["index"][candidates] == index[candidates])
        taken = candidates[final]
        self._taken[taken] = index[taken]
        rows = rows[final]
        self._rows_taken += rows.size
        self.overruns = max(self.overruns, self._sent - self._rows_taken - int(candidates.size - taken.size))
        self._mismatches += int(np.count_nonzero((rows["tos"] ^ self.word(Word.TOS)) & DSCP_BITS))
        ordered: Rows = rows[np.argsort(rows["index"], kind="stable")]
        return ordered

    def holds(self, index: int) -> bool:
        """Whether the row of this index is in the ring, taken or not."""
        return bool(self._rows["index"][index % ROWS_PER_SLOT] == index)

    def _count_sent(self, rows: Rows) -> None:
        """Ordinals tell how many rows were written since the last look, also those overwritten unread."""
        latest = int(rows["ordinal"][np.argmax(rows["x"])])
        self._sent += (latest - self._ordinal) % ORDINALS
        self._ordinal = latest
