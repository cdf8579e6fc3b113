"""Packets that never came from Asterisk: gaps in a stream's sequence that nothing filled in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# RFC 3550 A.1 takes 100 packets (2 s) as the longest misorder.
FILLED_WITHIN_NS = 2_000_000_000


@dataclass(slots=True)
class SourceGaps:
    """Missing indexes of one stream, each with the time it was noticed (ns)."""

    _highest: int | None = None
    _missing: dict[int, int] = field(default_factory=dict)

    def restart(self) -> None:
        """A new stream: the jump to its first index is no gap."""
        self._highest = None

    def update(self, indexes: NDArray[np.uint64], now_ns: int, holds: Callable[[int], bool]) -> None:
        """Take the indexes of finished rows, ascending; `holds` tells of rows that are still waiting for an answer."""
        if indexes.size == 0:
            return
        for index in [int(index) for index in indexes if int(index) in self._missing] if self._missing else ():
            del self._missing[index]
        first, last = int(indexes[0]), int(indexes[-1])
        start = first if self._highest is None else self._highest + 1
        if last >= start and last - start + 1 > np.count_nonzero(indexes >= start):
            present = {int(index) for index in indexes}
            absent = (index for index in range(start, last) if index not in present and not holds(index))
            self._missing.update((index, now_ns) for index in absent)
        self._highest = last if self._highest is None else max(last, self._highest)

    def lost(self, now_ns: int, filled_within_ns: int = FILLED_WITHIN_NS) -> int:
        """How many gaps have become final since the last call."""
        final = [index for index, noticed_ns in self._missing.items() if now_ns - noticed_ns >= filled_within_ns]
        for index in final:
            del self._missing[index]
        return len(final)
