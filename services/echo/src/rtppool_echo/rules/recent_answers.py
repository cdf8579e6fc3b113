"""Packets that were just answered. A repeated one is refused, which ends a loop through a foreign echo.

An answer to the port of a foreign echo comes back with the same bytes and a new hop limit, so the hop limit does not
end that loop. It comes back from the same sender, with the same SSRC, sequence number and timestamp. The network's own
duplicates are refused as well. Their first copy was answered, so the sender misses no answer.

A known number with another timestamp is another packet: Asterisk keeps its SSRC when its caller's source changes, and
follows the new sequence, also backwards. The window is longer than a packet travels to any foreign echo and back, and
far shorter than the 65,536 packets after which a sequence wraps.

The memory is one table of fixed size. A packet replaces the one whose place it takes, whatever its age. Under a flood a
loop may pass once more for this reason, and ends in a later round.
"""

from __future__ import annotations

import struct

from rtppool_core.units import NS_PER_SECOND

# A power of two. At 5,000 packets a second, 100 calls, a place is taken again after 1.6 s.
MAX_REMEMBERED = 8_192
PLACE_MASK = MAX_REMEMBERED - 1
WINDOW_NS = NS_PER_SECOND // 2
# Sequence number, timestamp and SSRC of an RTP header.
_FIELDS = struct.Struct("!2xHII")


class RecentAnswers:
    """Sequence, timestamp and SSRC, sender, and monotonic time of the packets that were answered last, by place.

    `payloads` holds the datagrams, `slot_bytes` apart.
    """

    def __init__(self, payloads: bytearray, slot_bytes: int) -> None:
        self._payloads = payloads
        self._slot_bytes = slot_bytes
        self._packets = [(0, 0, 0)] * MAX_REMEMBERED
        self._senders = [b""] * MAX_REMEMBERED
        self._answered_ns = [0] * MAX_REMEMBERED

    def is_repeated(self, sender: bytes, at: int, _size: int, now_ns: int) -> bool:
        """Return whether the RTP packet in slot `at` was answered in the window before `now_ns`; remember it if not."""
        sequence, _, ssrc = packet = _FIELDS.unpack_from(self._payloads, at * self._slot_bytes)
        place = (sequence + ssrc) & PLACE_MASK
        if (
            self._packets[place] == packet
            and self._senders[place] == sender
            and now_ns - self._answered_ns[place] < WINDOW_NS
        ):
            return True
        self._packets[place], self._senders[place], self._answered_ns[place] = packet, sender, now_ns
        return False
