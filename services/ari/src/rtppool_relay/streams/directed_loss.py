"""Which way packets were lost, told by the echo's own count of what reached it (`rtppool_core.rtp.echo_extension`).

Between two answers that follow each other, with counts c1 < c2 and k unanswered packets sent between them, c2 - c1 - 1
of the k reached the echo and were lost on the way back, the others on the way there. A count that doesn't grow (the
echo forgot the stream, or packets overtook each other) leaves all k undetermined, as does a missing neighbour or one of
another SSRC, which the echo counts apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.media.rows import ROWS_PER_SLOT

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DirectedLoss:
    """Packets lost between two answers; `sent_ns` is when the first of them was sent."""

    sent_ns: int
    to_echo: int
    from_echo: int
    undetermined: int


@dataclass(frozen=True, slots=True)
class EchoedRows:
    """Columns of finished rows. `counts` are the echo's, 0 in answers that it did not fill."""

    sent_ns: Int64s
    sources: Int64s
    answered: Flags
    counts: Int64s

    def __getitem__(self, at: slice | NDArray[np.intp]) -> EchoedRows:
        """Some of the rows."""
        return EchoedRows(self.sent_ns[at], self.sources[at], self.answered[at], self.counts[at])

    def counted(self) -> Flags:
        """Which rows are answers with the echo's count."""
        return self.answered & (self.counts > 0)

    def followed_by(self, other: EchoedRows) -> EchoedRows:
        """Both, in order of sending."""
        both = EchoedRows(
            np.concatenate((self.sent_ns, other.sent_ns)),
            np.concatenate((self.sources, other.sources)),
            np.concatenate((self.answered, other.answered)),
            np.concatenate((self.counts, other.counts)),
        )
        return both[np.argsort(both.sent_ns, kind="stable")]


def _no_rows() -> EchoedRows:
    none = np.zeros(0, np.int64)
    return EchoedRows(none, none, none != 0, none)


def directed_losses(rows: EchoedRows) -> list[DirectedLoss]:
    """Rows in order of sending; one entry for each run of losses between counted answers.

    An answer without a count proves nothing, so the losses around it are looked at together.
    """
    counted = np.flatnonzero(rows.counted())
    lost = np.flatnonzero(~rows.answered)
    following = np.searchsorted(counted, lost)
    return [_between(rows, counted, neighbour, lost[following == neighbour]) for neighbour in np.unique(following)]


def _between(rows: EchoedRows, counted: NDArray[np.intp], neighbour: int, run: NDArray[np.intp]) -> DirectedLoss:
    """The losses of `run`, which lie before the counted answer number `neighbour`."""
    at = int(rows.sent_ns[run[0]])
    grown = 0
    if 0 < neighbour < counted.size:
        earlier, later = counted[neighbour - 1], counted[neighbour]
        if rows.sources[earlier] == rows.sources[later]:
            grown = int(rows.counts[later]) - int(rows.counts[earlier])
    if grown <= 0:
        return DirectedLoss(at, 0, 0, run.size)
    from_echo = min(grown - 1, run.size)
    return DirectedLoss(at, run.size - from_echo, from_echo, 0)


@dataclass(slots=True)
class DirectionalLoss:
    """One slot. Rows are held until every row sent before the next counted answer has met its fate."""

    active: bool = False
    _held: EchoedRows = field(default_factory=_no_rows)

    def update(self, rows: EchoedRows, settled_ns: int) -> list[DirectedLoss]:
        """Take finished rows; all that was sent before `settled_ns` has met its fate.

        Nothing is held and nothing told before the echo has filled a first count: it may be a plain one.
        """
        if not self.active and not rows.counts.any():
            return []
        self.active = True
        self._held = self._held.followed_by(rows)
        counted = np.flatnonzero(self._held.counted() & (self._held.sent_ns < settled_ns))
        found = []
        if counted.size:
            # The last of these answers stays: it is the next losses' earlier neighbour.
            last = int(counted[-1])
            found = directed_losses(self._held[: last + 1])
            self._held = self._held[last:]
        return found + self._give_up(self._held.sent_ns.size - ROWS_PER_SLOT)

    def finish(self) -> list[DirectedLoss]:
        """The call is over: no later answer will tell of what is left."""
        return self._give_up(self._held.sent_ns.size)

    def _give_up(self, count: int) -> list[DirectedLoss]:
        """The oldest rows have waited for as long as a ring is."""
        if count <= 0:
            return []
        found = directed_losses(self._held[:count])
        self._held = self._held[count:]
        return found
