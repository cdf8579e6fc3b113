"""Packet reordering by RFC 4737, one packet at a time: ratio, extent, late time, n-reordering, gaps and runs.

Sequence numbers are extended ones (`rtppool_core.rtp.serial`), arrival times are arguments in ns of any epoch. The
first copy of a packet counts, later copies are ignored (section 3.3).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

# Beyond this many packets back, an extent is a lower bound and a copy is no longer known as one: 20 s at 50 packets/s.
REMEMBERED_PACKETS = 1024


@dataclass(frozen=True, slots=True)
class ReorderedPacket:
    """What RFC 4737 says of one reordered packet.

    `extent` (4.2.3): packets back to the earliest arrival with a larger number. `late_time_ns` (4.3.3): time since that
    arrival. `n` (5.3): how many packets just before it all have larger numbers; 0 is not n-reordered. `gap` (4.5.4):
    arrivals between its discontinuity and the one before; None where it is the first or the same one.
    """

    extent: int
    late_time_ns: int
    n: int
    gap: int | None = None


@dataclass(slots=True)
class ReorderingFreeRuns:
    """Runs of packets in order, each ended by a reordered one (RFC 4737 4.6.3).

    `runs` is x, `packets` a, `squares` q, `current` p: a/x is the mean run, q/a the run that a packet is likely in.
    """

    runs: int = 0
    packets: int = 0
    squares: int = 0
    current: int = 0

    def update(self, *, reordered: bool) -> None:
        """Take the next packet."""
        if not reordered:
            self.current += 1
            return
        self.runs += 1
        self.packets += self.current
        self.squares += self.current**2
        self.current = 0


@dataclass(slots=True)
class Reordering:
    """One stream. Maxima are None until a packet was reordered."""

    received: int = 0
    reordered: int = 0
    max_extent: int | None = None
    max_late_time_ns: int | None = None
    max_n: int | None = None
    free_runs: ReorderingFreeRuns = field(default_factory=ReorderingFreeRuns)
    _next_expected: int | None = None
    # Arrivals that raised NextExp; the earliest with a larger number than a reordered packet's is always one of them.
    _raising: list[tuple[int, int, int]] = field(default_factory=list)
    _recent: deque[int] = field(default_factory=deque)
    _known: set[int] = field(default_factory=set)
    _discontinuity: int | None = None

    @property
    def ratio(self) -> float | None:
        """Reordered packets as a share of those received (4.1.3); None before the first."""
        return self.reordered / self.received if self.received else None

    def update(self, sequence: int, arrival_ns: int) -> ReorderedPacket | None:
        """Take the next arrival; None when it came in order or is a copy."""
        if sequence in self._known:
            return None
        self.received += 1
        in_order = self._next_expected is None or sequence >= self._next_expected
        found = None if in_order else self._examine(sequence, arrival_ns)
        if in_order:
            self._next_expected = sequence + 1
            self._raising.append((sequence, self.received, arrival_ns))
            del self._raising[:-REMEMBERED_PACKETS]
        self.free_runs.update(reordered=not in_order)
        self._remember(sequence)
        return found

    def _examine(self, sequence: int, arrival_ns: int) -> ReorderedPacket:
        at = bisect_right(self._raising, sequence, key=lambda raised: raised[0])
        _, position, then_ns = self._raising[at]
        extent, late_time_ns = self.received - position, arrival_ns - then_ns
        n = 0
        for earlier in reversed(self._recent):
            if earlier < sequence:
                break
            n += 1
        gap = None if self._discontinuity in (None, position) else position - (self._discontinuity or 0)
        self._discontinuity = position
        self.reordered += 1
        self.max_extent = max(extent, self.max_extent or 0)
        self.max_late_time_ns = max(late_time_ns, self.max_late_time_ns or 0)
        self.max_n = max(n, self.max_n or 0)
        return ReorderedPacket(extent, late_time_ns, n, gap)

    def _remember(self, sequence: int) -> None:
        self._recent.append(sequence)
        self._known.add(sequence)
        if len(self._recent) > REMEMBERED_PACKETS:
            self._known.discard(self._recent.popleft())
