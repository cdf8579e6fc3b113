"""How many packets each source and SSRC has sent: the figure that the echo writes into the extension. Pure.

The table is bounded: the source that was silent for longest is forgotten first and begins again at 1. A flood of forged
sources would have to be faster than the table is large within the 20 ms between two packets of a call.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_STREAMS = 16_384
MODULUS = 1 << 32


class ReceivedCounts:
    """Packets by source and SSRC, least recently heard forgotten first."""

    def __init__(self, most: int = MAX_STREAMS) -> None:
        self._most = most
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        """How many streams are known."""
        return len(self._counts)

    def count(self, stream: bytes) -> int:
        """Count one more packet of `stream`; how many there were with it, modulo 2^32."""
        counts = self._counts
        number = counts.get(stream, 0) + 1
        counts[stream] = number % MODULUS
        counts.move_to_end(stream)
        if len(counts) > self._most:
            counts.popitem(last=False)
        return number % MODULUS
