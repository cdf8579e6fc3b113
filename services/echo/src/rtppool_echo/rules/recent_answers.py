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

from typing import Any

from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.rules.sender_table import KEY_WORDS

# A power of two. At 5,000 packets a second, 100 calls, a place is taken again after 1.6 s.
MAX_REMEMBERED = 8_192
WINDOW_NS = NS_PER_SECOND // 2
# A packet: its sender's key, SSRC, timestamp, sequence number, and the monotonic time of its answer.
_SSRC, _TIMESTAMP, _SEQUENCE, _ANSWERED_NS = range(KEY_WORDS, KEY_WORDS + 4)
PACKET_WORDS = KEY_WORDS + 4
RECENT_WORDS = MAX_REMEMBERED * PACKET_WORDS
_SEQUENCE_AT, _TIMESTAMP_AT, _SSRC_AT, _SSRC_END = 2, 4, 8, 12


def is_repeated(recent: Any, key: Any, at: int, data: Any, start: int, now_ns: int) -> bool:
    """Return whether an RTP packet was answered in the window before `now_ns`; remember it if not.

    The packet begins at `data[start]`, and its sender's key at `key[at]`.
    """
    sequence = big_endian(data, start + _SEQUENCE_AT, start + _TIMESTAMP_AT)
    timestamp = big_endian(data, start + _TIMESTAMP_AT, start + _SSRC_AT)
    ssrc = big_endian(data, start + _SSRC_AT, start + _SSRC_END)
    place = ((sequence + ssrc) & (MAX_REMEMBERED - 1)) * PACKET_WORDS
    if (
        recent[place + _SSRC] == ssrc
        and recent[place + _TIMESTAMP] == timestamp
        and recent[place + _SEQUENCE] == sequence
        and now_ns - recent[place + _ANSWERED_NS] < WINDOW_NS
        and _is_of(recent, place, key, at)
    ):
        return True
    for word in range(KEY_WORDS):
        recent[place + word] = key[at + word]
    recent[place + _SSRC], recent[place + _TIMESTAMP], recent[place + _SEQUENCE] = ssrc, timestamp, sequence
    recent[place + _ANSWERED_NS] = now_ns
    return False


def big_endian(data: Any, start: int, end: int) -> int:
    """Return a number of fewer than eight bytes."""
    number = 0
    for place in range(start, end):
        # A sum and a product, because compiled code keeps a shifted byte a byte.
        number = 256 * number + data[place]
    return number


def _is_of(recent: Any, place: int, key: Any, at: int) -> bool:
    for word in range(KEY_WORDS):  # noqa: SIM110 numba has no generators in `all`
        if recent[place + word] != key[at + word]:
            return False
    return True
