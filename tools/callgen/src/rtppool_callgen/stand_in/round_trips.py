"""Round trips from the caller's side: from its send through relay and echo to its receive stamp.

They are independent of the relay's own figures, and include the relay's residence both ways. The send stamp is taken by
a process that serves other callers as well.
"""

from __future__ import annotations

from rtppool_core.statistics.histogram import Histogram

# The sequence numbers of about 5 s at 50 packets/s. A later return is no sample.
MAX_PENDING = 256
_UNANSWERABLE = -1


class RoundTrips:
    """Round trips of one stream. A duplicate, or a return without a pending send, is no sample."""

    __slots__ = ("_sent_ns", "_sequences", "histogram")

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._sequences = [_UNANSWERABLE] * MAX_PENDING
        self._sent_ns = [0] * MAX_PENDING

    def sent(self, sequence: int, at_ns: int) -> None:
        """Record a send."""
        slot = sequence % MAX_PENDING
        self._sequences[slot] = sequence
        self._sent_ns[slot] = at_ns

    def returned(self, sequence: int, at_ns: int) -> None:
        """Record a return. A wall clock that stepped back in between gives no sample."""
        slot = sequence % MAX_PENDING
        if self._sequences[slot] != sequence:
            return
        self._sequences[slot] = _UNANSWERABLE
        if at_ns > self._sent_ns[slot]:
            self.histogram.record(at_ns - self._sent_ns[slot])
