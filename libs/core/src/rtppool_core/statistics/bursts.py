"""Bursts and gaps of loss by the definition of RFC 3611 section 4.7.2, at a cost for each run of lost packets only.

A burst begins and ends with a lost packet, has at least two, and never `GMIN` good packets in a row; all else is gap.
The time before the first packet and after the last counts as good. The RFC's own example and its pseudo-code
(A.2) do not follow the definition; the tests have the corrected figures.

Counts add: those of many streams, or of many seconds, are one `BurstCounts`. A duration is the media of the packets,
so that silence, which has no sequence numbers, is in none. A stream may change its packets' media.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

GMIN = 16
DENSITY_UNITS = 256
MAX_DENSITY = 255
# Of the latest changes of a stream's packet time. A loss is known seconds later, and a source seldom changes it.
MAX_PACKET_TIMES = 16


@dataclass(slots=True)
class BurstCounts:
    """`burst_packets` counts lost and good packets inside bursts, `burst_ns` is their duration.

    `gaps` are those that have ended (a burst began, or the stream ended), with all packets in them. `runs` are maximal
    runs of packets lost in a row, wherever they lie.
    """

    lost: int = 0
    runs: int = 0
    bursts: int = 0
    burst_packets: int = 0
    burst_lost: int = 0
    burst_ns: int = 0
    gaps: int = 0
    gap_packets: int = 0
    gap_ns: int = 0

    def add(self, other: BurstCounts) -> None:
        """Add the counts of another stream or second."""
        self.lost += other.lost
        self.runs += other.runs
        self.bursts += other.bursts
        self.burst_packets += other.burst_packets
        self.burst_lost += other.burst_lost
        self.burst_ns += other.burst_ns
        self.gaps += other.gaps
        self.gap_packets += other.gap_packets
        self.gap_ns += other.gap_ns

    def burst_density(self) -> int | None:
        """Return the lost share of the packets in bursts, in 1/256; None without a burst."""
        return density(self.burst_lost, self.burst_packets)

    def gap_density(self, expected: int) -> int | None:
        """Return the lost share of `expected` packets less those in bursts, in 1/256; None without such packets."""
        return density(self.lost - self.burst_lost, expected - self.burst_packets)

    def mean_burst_ns(self) -> int | None:
        """Return the mean duration of a burst; None without one."""
        return self.burst_ns // self.bursts if self.bursts else None

    def mean_gap_ns(self) -> int | None:
        """Return the mean duration of ended gaps; None without one."""
        return self.gap_ns // self.gaps if self.gaps else None

    def burst_ratio(self, expected: int) -> float:
        """G.107's BurstR: mean run of lost packets over the mean under random loss, 1 / (1 - P); at least 1."""
        if not self.runs or expected <= self.lost:
            return 1.0
        return max(1.0, self.lost / self.runs * (1 - self.lost / expected))


def density(lost: int, packets: int) -> int | None:
    """Return a share in 1/256, at most 255, as an RFC 3611 report carries it; None without packets."""
    return min(MAX_DENSITY, DENSITY_UNITS * lost // packets) if packets > 0 else None


@dataclass(frozen=True, slots=True)
class _PacketTime:
    """The media of each packet from a position on, and of all packets before it."""

    position: int
    packet_ns: int
    before_ns: int


@dataclass(slots=True)
class BurstTracker:
    """One stream. Positions are extended sequence numbers, `first` the stream's; `packet_ns` is one packet's media."""

    first: int
    packet_ns: int
    _gap_starts: int = 0
    _gap_starts_ns: int = 0
    _last_lost: int | None = None
    _in_burst: bool = False
    _packet_times: deque[_PacketTime] = field(default_factory=lambda: deque(maxlen=MAX_PACKET_TIMES))

    def __post_init__(self) -> None:
        """Begin the stream in a gap."""
        self._gap_starts = self.first
        self._packet_times.append(_PacketTime(self.first, self.packet_ns, 0))

    def change_packet_time(self, position: int, packet_ns: int) -> None:
        """Set one packet's media from a position on, which is not before the last change."""
        self.packet_ns = packet_ns
        self._packet_times.append(_PacketTime(position, packet_ns, self._media_ns(position)))

    def lost(self, first: int, last: int) -> BurstCounts:
        """Add the lost packets `first` to `last`, in ascending order. Return the increments."""
        packets = last - first + 1
        counts = BurstCounts(lost=packets, runs=int(self._last_lost is None or first > self._last_lost + 1))
        joins = self._last_lost if self._last_lost is not None and first - self._last_lost <= GMIN else None
        if joins is None and self._in_burst:
            self._in_burst = False
            self._begin_gap()
        if self._in_burst and joins is not None:
            counts.burst_packets, counts.burst_lost = last - joins, packets
        elif joins is not None:
            self._begin_burst(joins, counts)
            counts.burst_packets, counts.burst_lost = last - joins + 1, packets + 1
        elif packets > 1:
            self._begin_burst(first, counts)
            counts.burst_packets, counts.burst_lost = packets, packets
        self._last_lost = last
        counts.burst_ns = self._media_ns(last + 1) - self._media_ns(last + 1 - counts.burst_packets)
        return counts

    def end(self, last: int) -> BurstCounts:
        """End the stream after packet `last`, with its open gap if there is one. Return the increments."""
        if self._in_burst:
            self._begin_gap()
        return self._ended_gap(last + 1)

    def _begin_gap(self) -> None:
        self._gap_starts = (self._last_lost or 0) + 1
        self._gap_starts_ns = self._media_ns(self._gap_starts)

    def _begin_burst(self, starts: int, counts: BurstCounts) -> None:
        self._in_burst = True
        counts.bursts = 1
        counts.add(self._ended_gap(starts))

    def _ended_gap(self, ends: int) -> BurstCounts:
        packets = ends - self._gap_starts
        if packets <= 0:
            return BurstCounts()
        return BurstCounts(gaps=1, gap_packets=packets, gap_ns=self._media_ns(ends) - self._gap_starts_ns)

    def _media_ns(self, position: int) -> int:
        """Return the media of all packets of the stream before a position."""
        times = self._packet_times
        since = next((each for each in reversed(times) if each.position <= position), times[0])
        return since.before_ns + (position - since.position) * since.packet_ns
