"""The direction of loss, from the echo's count of received packets (`rtppool_core.rtp.echo_extension`).

Two answers that follow each other have counts c1 < c2, and k packets sent between them are unanswered. Then
c2 - c1 - 1 of the k reached the echo and were lost on the way back, the others on the way there. All k are undetermined
when the count does not grow (the echo forgot the stream, or packets overtook each other), when a neighbour is missing,
or when it has another SSRC, which the echo counts separately.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.media.sizes import ROWS_PER_SLOT

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DirectedLoss:
    """Packets lost between two answers. `sent_ns` is when the first of them was sent."""

    sent_ns: int
    to_echo: int
    from_echo: int
    undetermined: int


@dataclass(frozen=True, slots=True)
class EchoedRows:
    """Columns of finished rows. `counts` are the echo's; 0 in answers that it did not fill."""

    sent_ns: Int64s
    sources: Int64s
    answered: Flags
    counts: Int64s

    def __getitem__(self, at: slice | NDArray[np.intp]) -> EchoedRows:
        """Return these rows."""
        return EchoedRows(self.sent_ns[at], self.sources[at], self.answered[at], self.counts[at])

    def counted(self) -> Flags:
        """Flag the answers that have the echo's count."""
        return self.answered & (self.counts > 0)

    def followed_by(self, other: EchoedRows) -> EchoedRows:
        """Return the rows of both in order of sending."""
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
    """Return one entry for each run of losses between counted answers. Rows are in order of sending.

    An answer without a count proves nothing, so the losses around it form one run.
    """
    counted = np.flatnonzero(rows.counted())
    lost = np.flatnonzero(~rows.answered)
    following = np.searchsorted(counted, lost)
    return [_between(rows, counted, neighbour, lost[following == neighbour]) for neighbour in np.unique(following)]


def _between(rows: EchoedRows, counted: NDArray[np.intp], neighbour: int, run: NDArray[np.intp]) -> DirectedLoss:
    """Divide the losses of `run`, which lie before the counted answer number `neighbour`."""
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
class LossDirections:
    """One slot. Rows are held until the fate of every row sent before the next counted answer is known."""

    active: bool = False
    _held: EchoedRows = field(default_factory=_no_rows)

    def update(self, rows: EchoedRows, settled_ns: int) -> list[DirectedLoss]:
        """Add finished rows. The fate of every row sent before `settled_ns` is known.

        Rows are held only after the echo has filled a first count: a plain echo never does.
        """
        if not self.active and not rows.counts.any():
            return []
        self.active = True
        self._held = self._held.followed_by(rows)
        counted = np.flatnonzero(self._held.counted() & (self._held.sent_ns < settled_ns))
        found = []
        if counted.size:
            # The last of these answers stays, as the earlier neighbour of the next losses.
            last = int(counted[-1])
            found = directed_losses(self._held[: last + 1])
            self._held = self._held[last:]
        return found + self._give_up(self._held.sent_ns.size - ROWS_PER_SLOT)

    def finish(self) -> list[DirectedLoss]:
        """Return the remaining losses: the call is over."""
        return self._give_up(self._held.sent_ns.size)

    def _give_up(self, count: int) -> list[DirectedLoss]:
        """Stop waiting for the oldest rows, which are beyond the ring's length."""
        if count <= 0:
            return []
        found = directed_losses(self._held[:count])
        self._held = self._held[count:]
        return found
