"""RFC 3550 jitter and RFC 4737 reordering, one packet at a time: references for the relay's batches.

Sequence numbers are extended, arrival times are in ns of any epoch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from rtppool_core.rtp.serial import timestamp_difference

# Beyond this many packets back, an extent is a lower bound and a copy is no longer known as one: 20 s at 50 packets/s.
REMEMBERED_PACKETS = 1024


@dataclass(frozen=True, slots=True)
class ReorderedPacket:
    """The RFC 4737 metrics of one reordered packet.

    `extent` (4.2.3): packets back to the earliest arrival with a larger number. `late_time_ns` (4.3.3): time since that
    arrival. `n` (5.3): how many packets just before it all have larger numbers; 0 is not n-reordered. `gap` (4.5.4):
    arrivals between its discontinuity and the one before; None where it is the first or the same one.
    """

    extent: int
    late_time_ns: int
    n: int
    gap: int | None = None


@dataclass(slots=True)
class Reordering:
    """RFC 4737 over one stream; later copies are ignored (3.3). Maxima are None until a packet is reordered."""

    received: int = 0
    reordered: int = 0
    max_extent: int | None = None
    max_late_time_ns: int | None = None
    max_n: int | None = None
    _next_expected: int | None = None
    # Arrivals that raised NextExp; the earliest with a larger number than a reordered packet's is always one of them.
    _raising: list[tuple[int, int, int]] = field(default_factory=list)
    _recent: deque[int] = field(default_factory=deque)
    _known: set[int] = field(default_factory=set)
    _discontinuity: int | None = None

    @property
    def ratio(self) -> float | None:
        """Reordered packets as a share of received packets (4.1.3); None before the first."""
        return self.reordered / self.received if self.received else None

    def update(self, sequence: int, arrival_ns: int) -> ReorderedPacket | None:
        """Process the next arrival; None when it came in order or is a copy."""
        if sequence in self._known:
            return None
        self.received += 1
        in_order = self._next_expected is None or sequence >= self._next_expected
        found = None if in_order else self._examine(sequence, arrival_ns)
        if in_order:
            self._next_expected = sequence + 1
            self._raising.append((sequence, self.received, arrival_ns))
            del self._raising[:-REMEMBERED_PACKETS]
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


@dataclass(slots=True)
class Jitter:
    """Interarrival jitter (RFC 3550 6.4.1, A.8), in ticks of the RTP clock, over packets in arrival order."""

    clock_rate_hz: int = 8000
    ticks: float = 0.0
    _last: tuple[int, int] | None = field(default=None)

    def update(self, arrival_ns: int, timestamp: int) -> None:
        """Process the next packet's arrival (ns) and RTP timestamp."""
        if self._last is not None:
            arrived_ns, stamped = self._last
            transit = (arrival_ns - arrived_ns) * self.clock_rate_hz / 1e9 - timestamp_difference(timestamp, stamped)
            self.ticks += (abs(transit) - self.ticks) / 16
        self._last = (arrival_ns, timestamp)

    def restart(self) -> None:
        """Forget the last packet (new SSRC, or a timestamp jump) but keep the estimate."""
        self._last = None

    @property
    def microseconds(self) -> float:
        """The estimate in µs."""
        return self.ticks * 1e6 / self.clock_rate_hz
