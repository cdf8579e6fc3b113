"""Packets missing from Asterisk: gaps in a stream's sequence that no late packet filled in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.media.sizes import ROWS_PER_SLOT

# RFC 3550 A.1 takes 100 packets (2 s) as the longest misorder.
FILLED_WITHIN_NS = 2_000_000_000
# Events of Asterisk and rows of packets arrive this far apart on a busy machine.
EXCUSED_AROUND_NS = 500_000_000
# More keys than a caller presses until their gaps are final.
MAX_EXCUSES = 64

Run = tuple[int, int]
Holds = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class _Gap:
    """Missing indexes, the time they were noticed, and the arrival of the packet behind them."""

    first: int
    last: int
    noticed_ns: int
    ended_ns: int


@dataclass(slots=True)
class SourceGaps:
    """Missing indexes of one stream.

    A row that was sent and waits for its answer is not missing. `frontier` is the first index of either kind.
    """

    _highest: int = -1
    _missing: list[_Gap] = field(default_factory=list)
    _waiting: set[int] = field(default_factory=set)
    _excuses: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MAX_EXCUSES))

    @property
    def frontier(self) -> int:
        """The fate of every packet of the current stream below this index is known."""
        ends = [gap.first for gap in self._missing]
        ends.extend(self._waiting)
        ends.append(self._highest + 1)
        return min(ends)

    @property
    def are_open(self) -> bool:
        """Whether packets are missing that may still come."""
        return bool(self._missing)

    def restart(self, first: int) -> None:
        """Begin a new stream at index `first`. The jump is not a gap, and rows that wait belong to the old stream."""
        self._highest = first - 1
        self._waiting.clear()

    def extend(self, first: int, last: int) -> bool:
        """Add all indexes from the first to the last. False: they do not simply follow, and nothing was added."""
        if self._missing or self._waiting or self._highest != first - 1:
            return False
        self._highest = last
        return True

    def update(self, indexes: NDArray[np.uint64], arrivals_ns: NDArray[np.int64], now_ns: int, holds: Holds) -> None:
        """Add the indexes of finished rows, ascending. `holds` is true for rows that still wait for an answer."""
        if indexes.size == 0:
            return
        first, last = int(indexes[0]), int(indexes[-1])
        if last - first + 1 == indexes.size and self.extend(first, last):
            return
        self._scan(indexes.tolist(), arrivals_ns.tolist(), now_ns, holds)

    def _scan(self, indexes: list[int], arrivals_ns: list[int], now_ns: int, holds: Holds) -> None:
        self._waiting.difference_update(indexes)
        if self._missing:
            self._fill(indexes)
        expected = self._highest + 1
        for index, arrival_ns in zip(indexes, arrivals_ns, strict=True):
            if index > expected:
                self._add_gap(_Gap(expected, index - 1, now_ns, arrival_ns), holds)
            expected = max(expected, index + 1)
        self._highest = expected - 1
        oldest = self._highest - ROWS_PER_SLOT
        # A row that was overwritten before it was read never finishes.
        self._waiting -= {index for index in self._waiting if index < oldest and not holds(index)}

    def _add_gap(self, gap: _Gap, holds: Holds) -> None:
        first, last = gap.first, gap.last
        # The ring is no longer than this, so no earlier row can be waiting.
        waiting = [index for index in range(max(first, last - ROWS_PER_SLOT + 1), last + 1) if holds(index)]
        self._waiting.update(waiting)
        for index in waiting:
            if index > first:
                self._missing.append(replace(gap, first=first, last=index - 1))
            first = index + 1
        if first <= last:
            self._missing.append(replace(gap, first=first))

    def _fill(self, indexes: list[int]) -> None:
        for index in indexes:
            at = next((at for at, gap in enumerate(self._missing) if gap.first <= index <= gap.last), None)
            if at is not None:
                gap = self._missing[at]
                parts = [replace(gap, last=index - 1), replace(gap, first=index + 1)]
                self._missing[at : at + 1] = [part for part in parts if part.first <= part.last]

    def excuse(self, begin_ns: int, end_ns: int) -> None:
        """Count gaps that end between two times as not lost."""
        self._excuses.append((begin_ns - EXCUSED_AROUND_NS, end_ns + EXCUSED_AROUND_NS))

    def _is_excused(self, gap: _Gap) -> bool:
        return any(begin <= gap.ended_ns <= end for begin, end in self._excuses)

    def lost(self, now_ns: int, filled_within_ns: int = FILLED_WITHIN_NS) -> list[Run]:
        """Return the runs that have become final since the last call, without the excused ones."""
        if not self._missing:
            return []
        final = [gap for gap in self._missing if now_ns - gap.noticed_ns >= filled_within_ns]
        self._missing = [gap for gap in self._missing if now_ns - gap.noticed_ns < filled_within_ns]
        return [(gap.first, gap.last) for gap in final if not self._is_excused(gap)]
