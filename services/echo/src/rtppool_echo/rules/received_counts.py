"""Packets received per source and SSRC: the figure that the echo writes into the extension.

The table is bounded. The source that was silent for longest is forgotten first, and its count starts at 1 again. To
displace a call, forged sources would have to fill the whole table within the 20 ms between two of its packets.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_STREAMS = 16_384
MODULUS = 1 << 32


class ReceivedCounts:
    """Packets by source and SSRC, least recently used first."""

    def __init__(self, max_streams: int = MAX_STREAMS) -> None:
        self._max_streams = max_streams
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of known streams."""
        return len(self._counts)

    def count(self, stream: bytes) -> int:
        """Count a packet of `stream`. Returns the new count, modulo 2^32."""
        counts = self._counts
        number = (counts.get(stream, 0) + 1) % MODULUS
        counts[stream] = number
        counts.move_to_end(stream)
        if len(counts) > self._max_streams:
            counts.popitem(last=False)
        return number
