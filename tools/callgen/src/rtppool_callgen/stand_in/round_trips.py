"""Round trips as a caller sees them: from its send, through relay and echo, to its own receive stamp. Pure.

It is a figure beside the relay's own, by another program and other clocks' reading: it holds the relay's residence
both ways as well, and the send is stamped by a process that has other callers to serve.
"""

from __future__ import annotations

from rtppool_core.statistics.histogram import Histogram

# As many sequence numbers as a call sends in 5 s at 50 a second; what comes later is no round trip.
REMEMBERED = 256
_UNANSWERABLE = -1


class RoundTrips:
    """One stream's. A packet that comes twice, or of which nobody remembers the send, is not measured."""

    __slots__ = ("_sent_ns", "_sequences", "histogram")

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._sequences = [_UNANSWERABLE] * REMEMBERED
        self._sent_ns = [0] * REMEMBERED

    def sent(self, sequence: int, at_ns: int) -> None:
        """A packet is sent now."""
        slot = sequence % REMEMBERED
        self._sequences[slot] = sequence
        self._sent_ns[slot] = at_ns

    def returned(self, sequence: int, at_ns: int) -> None:
        """It came back. A wall clock that stepped back in between gives no sample."""
        slot = sequence % REMEMBERED
        if self._sequences[slot] != sequence:
            return
        self._sequences[slot] = _UNANSWERABLE
        if at_ns > self._sent_ns[slot]:
            self.histogram.record(at_ns - self._sent_ns[slot])
