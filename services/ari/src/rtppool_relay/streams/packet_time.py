"""How much media a source's packets carry: the step of the timestamp from a packet to its successor.

A source may change it in mid-call. Single steps differ for other reasons: silence, an event, a jump of the timestamp.
So a change counts from the first of `MIN_CHANGED` packets in a row with the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtppool_core.units import NS_PER_SECOND

MAX_PACKET_NS = 200_000_000
MIN_CHANGED = 5


@dataclass(slots=True)
class PacketTime:
    """The packet time of one stream, in `ticks` of its clock; 0 until it is measured."""

    clock_rate_hz: int
    ticks: int = 0
    _next_index: int = 0
    # Packets in a row with another step, and its first.
    _other_ticks: int = 0
    _other_from: int = 0
    _others: int = 0

    def restart(self) -> None:
        """Begin another stream."""
        self.ticks = self._others = self._next_index = 0

    def follow(self, indexes: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
        """Follow steps from packets to their successors, in order of the packets' indexes.

        Return each change: the first packet with the new packet time, and that time in ns. Packets before those of an
        earlier call are ignored.
        """
        usable = [
            (index, step)
            for index, step in zip(indexes, steps, strict=True)
            if index >= self._next_index and 0 < step * NS_PER_SECOND <= MAX_PACKET_NS * self.clock_rate_hz
        ]
        changes = []
        if usable and not self.ticks:
            usual = [step for _, step in usable]
            self.ticks = max(sorted(set(usual)), key=usual.count)
            changes.append((usable[0][0], self.ns))
        for index, step in usable:
            if step == self.ticks:
                self._others = 0
            elif self._others and step == self._other_ticks and index == self._other_from + self._others:
                self._others += 1
            else:
                self._other_ticks, self._other_from, self._others = step, index, 1
            if self._others == MIN_CHANGED:
                self.ticks, self._others = step, 0
                changes.append((self._other_from, self.ns))
        if usable:
            self._next_index = usable[-1][0] + 1
        return changes

    @property
    def ns(self) -> int:
        """The packet time in ns; 0 until it is measured."""
        return self.ticks * NS_PER_SECOND // self.clock_rate_hz
