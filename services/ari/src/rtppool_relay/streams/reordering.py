"""Reordering between relay and echo (RFC 4737) over columns: send time for sequence, in order of return.

Only an overtaken packet costs a loop. Answers come within 2 s, so a packet was overtaken within the 2 s before its
return, and older returns are forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.media.rows import LOST_AFTER_NS

Int64s = NDArray[np.int64]

# Far more ticks than there are in two seconds.
MAX_BATCHES = 64


@dataclass(frozen=True, slots=True)
class Overtaken:
    """One reordered answer: its row in the batch, extent (packets), late time (ns), degree of n-reordering."""

    row: int
    extent: int
    late_time_ns: int
    n: int


@dataclass(slots=True)
class ReorderingDetector:
    """One slot. A batch is kept while its packets may still overtake a later return."""

    _batches: list[tuple[Int64s, Int64s, int]] = field(default_factory=list)
    latest_sent_ns: int = 0

    def update(self, sent: Int64s, returned: Int64s, *, in_order: bool, collected_ns: int = 0) -> list[Overtaken]:
        """Add answered rows of one batch and return the overtaken ones.

        `in_order` states that both columns ascend, so that only the first packet of the batch can have been overtaken.
        """
        if in_order and int(sent[0]) > self.latest_sent_ns:
            found: list[Overtaken] = []
            self.latest_sent_ns = int(sent[-1])
        else:
            order = np.argsort(returned, kind="stable")
            sent, returned = sent[order], returned[order]
            found = self._overtaken(sent, returned, order, collected_ns)
            self.latest_sent_ns = max(self.latest_sent_ns, int(sent.max()))
        self._remember(sent, returned, collected_ns)
        return found

    def _remember(self, sent: Int64s, returned: Int64s, collected_ns: int) -> None:
        self._batches.append((sent, returned, collected_ns))
        oldest = int(returned[-1]) - LOST_AFTER_NS
        while int(self._batches[0][1][-1]) < oldest or len(self._batches) > MAX_BATCHES:
            del self._batches[0]

    def _overtaken(self, sent: Int64s, returned: Int64s, order: NDArray[np.intp], collected_ns: int) -> list[Overtaken]:
        all_sent = np.concatenate([*(batch[0] for batch in self._batches), sent])
        all_returned = np.concatenate([*(batch[1] for batch in self._batches), returned])
        first = all_sent.size - sent.size
        # Rows of another source may have returned before those that were read in the same collection.
        collections = np.repeat(
            [*(batch[2] for batch in self._batches), collected_ns],
            [*(batch[0].size for batch in self._batches), sent.size],
        )
        by_return = np.lexsort((all_returned, collections))
        all_sent, all_returned = all_sent[by_return], all_returned[by_return]
        latest = np.maximum.accumulate(all_sent)
        found = []
        for at in np.flatnonzero((all_sent < latest) & (by_return >= first)).tolist():
            overtaking = int(np.searchsorted(latest, all_sent[at], side="right"))
            smaller = np.flatnonzero(all_sent[:at] < all_sent[at])
            found.append(
                Overtaken(
                    row=int(order[by_return[at] - first]),
                    extent=at - overtaking,
                    late_time_ns=max(0, int(all_returned[at] - all_returned[overtaking])),
                    n=at - 1 - int(smaller[-1]) if smaller.size else at,
                )
            )
        return found
