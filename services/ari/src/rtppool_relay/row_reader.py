"""Takes finished rows out of a slot: answered ones at once, unanswered ones when they are lost for good."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_core.rtp import PAYLOAD_TYPE_MASK
from rtppool_relay.rows import (
    ANSWER_OFFSET,
    DEPARTURE_ERRORS,
    DEPARTURE_ERRORS_OFFSET_WORDS,
    ECHO_MEASURED_OFFSET,
    HEADER_BYTES,
    LOST_AFTER_NS,
    ROW_BYTES,
    ROWS_PER_SLOT,
    WORDS,
    Word,
    slot_offset,
)

ROW_DTYPE = np.dtype(
    {
        "names": [
            "a", "x", "index", "ssrc", "timestamp", "epoch", "payload_type", "marker", "bytes", "r", "y", "answered",
            "echo_count", "echo_residence_ns",
        ],
        # `answered` is the upper quarter of y: not 0 for any wall-clock time from 1970-01-04 on.
        "formats": [
            "<i8", "<i8", "<u8", "<u4", "<u4", "<u2", "u1", "u1", "<u2", "<i8", "<i8", "<u2", "<u4", "<u4",
        ],
        "offsets": [0, 8, 16, 24, 28, 32, 34, 35, 36, ANSWER_OFFSET, 48, 54, ECHO_MEASURED_OFFSET, 60],
        "itemsize": ROW_BYTES,
    }
)  # fmt: skip

# A packet judged lost by the reader must not be answered by the writer a moment later: scheduling gets half a second.
SETTLED_AFTER_NS = LOST_AFTER_NS + 500_000_000
# At a call's end: the round trip that no verdict would accept any more, ten times the original's limit.
SETTLED_AT_END_AFTER_NS = 200_000_000

MARKER_SHIFT = 7
Rows = NDArray[np.void]


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
    _departures_seen: int = 0
    _errors: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Lay views over the slot; nothing is copied."""
        offset = slot_offset(self.slot)
        self._words = np.frombuffer(self.memory, np.uint64, WORDS, offset)
        errors_offset = offset + 8 * DEPARTURE_ERRORS_OFFSET_WORDS
        self._errors = np.frombuffer(self.memory, np.int64, DEPARTURE_ERRORS, errors_offset)
        self._rows = np.frombuffer(self.memory, ROW_DTYPE, ROWS_PER_SLOT, offset + HEADER_BYTES)

    def word(self, word: Word) -> int:
        """A header word as it is now."""
        return int(self._words[word])

    def counted_since_last(self) -> dict[Word, int]:
        """How much each counter grew since the last call, without those that stood still."""
        now = self._words.copy()
        grown = now - self._seen
        self._seen = now
        return {word: int(grown[word]) for word in Word if word >= Word.SENT_TO_ECHO and grown[word]}

    def departure_errors(self) -> NDArray[np.int64]:
        """What kernel stamps of departures said since the last call: stamp - our own reading, in ns."""
        stamped = self.word(Word.DEPARTURES_STAMPED)
        fresh = min(stamped - self._departures_seen, DEPARTURE_ERRORS)
        self._departures_seen = stamped
        errors: NDArray[np.int64] = self._errors[np.arange(stamped - fresh, stamped) % DEPARTURE_ERRORS]
        return errors

    def take(self, now_ns: int, settled_after_ns: int = SETTLED_AFTER_NS) -> Rows:
        """Rows whose fate is known, each once, in order of their index."""
        index = self._rows["index"].copy()
        fresh = (index != self._taken) & (index != 0)
        candidates = np.flatnonzero(fresh)
        if candidates.size == 0:
            return self._rows[:0].copy()
        rows = self._rows[candidates]
        final = (rows["answered"] != 0) | (rows["x"] < now_ns - settled_after_ns)
        # A row that was overwritten while it was copied shows another index.
        final &= (rows["index"] == index[candidates]) & (self._rows["index"][candidates] == index[candidates])
        taken = candidates[final]
        self._taken[taken] = index[taken]
        rows = rows[final]
        self._count_overruns(int(candidates.size - taken.size), int(rows.size))
        # The media process writes the header's second byte as it is.
        rows["marker"] = rows["payload_type"] >> MARKER_SHIFT
        rows["payload_type"] &= PAYLOAD_TYPE_MASK
        ordered: Rows = rows[np.argsort(rows["index"], kind="stable")]
        return ordered

    def holds(self, index: int) -> bool:
        """Whether the row of this index is in the ring, taken or not."""
        return bool(self._rows["index"][index % ROWS_PER_SLOT] == index)

    def _count_overruns(self, unsettled: int, taken: int) -> None:
        self._rows_taken += taken
        missing = self.word(Word.SENT_TO_ECHO) - self._rows_taken - unsettled
        # Rows written between the copy and this count are not missing; they show up with the next call.
        self.overruns = max(self.overruns, missing if missing > ROWS_PER_SLOT // 2 else 0)
