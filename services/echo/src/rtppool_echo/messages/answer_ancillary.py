"""Ancillary data of an answer, from that of its question (RFC 3542 section 6; ip(7), ipv6(7), cmsg(3)).

The answer leaves from the address that the question was sent to. On a host with several addresses the route alone could
choose another one. The answer carries the question's TOS. Its hop limit is one below the question's and at most 63, so
that two echoes that answer each other stop after at most 64 datagrams (RFC 8656 section 21.1.7).

Control messages are read as 64-bit words: length, then level and type in one, then the data.
"""

from __future__ import annotations

import socket
from typing import Any

from rtppool_core.net import udp
from rtppool_echo.messages.ancillary import INTEGER_BYTES, PKTINFO_V4_BYTES, PKTINFO_V6_BYTES
from rtppool_echo.rules.refusals import NOT_REFUSED, REASON_DESTINATION, REASON_HOP_LIMIT, place_of

MAX_ANSWERED_HOPS = 64
# The DSCP of the settings where the answer carries the received TOS.
AS_RECEIVED = -1
# The words of a message's length and kind.
_HEADER_WORDS = 2
_HEADER_BYTES = socket.CMSG_LEN(0)
_PKTINFO_V4 = socket.IPPROTO_IP | udp.IP_PKTINFO << 32
_PKTINFO_V6 = socket.IPPROTO_IPV6 | udp.IPV6_PKTINFO << 32
_HOPS_V4 = socket.IPPROTO_IP | socket.IP_TTL << 32
_HOPS_V6 = socket.IPPROTO_IPV6 | socket.IPV6_HOPLIMIT << 32
_TOS = socket.IPPROTO_IP | socket.IP_TOS << 32
_TRAFFIC_CLASS = socket.IPPROTO_IPV6 | udp.IPV6_TCLASS << 32
_PKTINFO_V4_LENGTH = _HEADER_BYTES + PKTINFO_V4_BYTES
_PKTINFO_V6_LENGTH = _HEADER_BYTES + PKTINFO_V6_BYTES
_INTEGER_LENGTH = _HEADER_BYTES + INTEGER_BYTES
_LOW = 0xFFFF_FFFF
_SIGN = 0x8000_0000
_DESTINATION, _HOP_LIMIT = place_of(REASON_DESTINATION), place_of(REASON_HOP_LIMIT)
_FIRST_MULTICAST_V4, _LAST_MULTICAST_V4, _MULTICAST_V6 = 224, 239, 0xFF
# The first two bytes of fe80::/10 (RFC 4291 section 2.4), the first one lowest, and the mask of ten bits.
_LINK_LOCAL, _LINK_LOCAL_MASK = 0x80FE, 0xC0FF
# The lower half of the second word of an IPv4-mapped address: two bytes of 0 and two of 255.
_MAPPED = 0xFFFF_0000


def build_answer(received: Any, start: int, end: int, answer: Any, at: int, dscp: int) -> tuple[int, int]:
    """Write the ancillary data of the answer to a datagram that arrived with `received[start:end]`, in words.

    Return the place of the reason to refuse it, or `NOT_REFUSED`, and the bytes that were written from `answer[at]` on.

    A datagram to a broadcast or multicast address is refused, because no answer can leave from there, and so is one
    without a hop left. The answer carries `dscp`, or the received TOS where that is `AS_RECEIVED`.
    """
    begin, hops = at, 0
    place = start
    while place + _HEADER_WORDS < end and _HEADER_BYTES < received[place] <= 8 * (end - place):
        length, kind = received[place], received[place + 1]
        size = (length + 7) // 8
        data = received[place + 2]
        if kind == _PKTINFO_V4 and length == _PKTINFO_V4_LENGTH:
            # The kernel proposes another source address when the destination was broadcast or multicast.
            if (data >> 32) & _LOW != received[place + 3] & _LOW:
                return _DESTINATION, 0
            # Interface 0 lets the route decide: an answer may leave by another interface.
            answer[at + 2] = data & ~_LOW
            answer[at + 3] = 0
        elif kind == _PKTINFO_V6 and length == _PKTINFO_V6_LENGTH:
            if _is_to_many(data, received[place + 3]):
                return _DESTINATION, 0
            answer[at + 2], answer[at + 3] = data, received[place + 3]
            # Only a link-local address needs its interface.
            answer[at + 4] = received[place + 4] & _LOW if data & _LINK_LOCAL_MASK == _LINK_LOCAL else 0
        elif kind in (_HOPS_V4, _HOPS_V6) and length == _INTEGER_LENGTH:
            hops = min(((data & _LOW) ^ _SIGN) - _SIGN, MAX_ANSWERED_HOPS) - 1
            answer[at + 2] = hops & _LOW
        elif kind in (_TOS, _TRAFFIC_CLASS):
            answer[at + 2] = data & _LOW if dscp == AS_RECEIVED else dscp << 2
        else:
            place += size
            continue
        answer[at], answer[at + 1] = length, kind
        at += size
        place += size
    if hops <= 0:
        return _HOP_LIMIT, 0
    return NOT_REFUSED, 8 * (at - begin)


def _is_to_many(high: int, low: int) -> bool:
    """Return whether an IPv6 address is multicast, or an IPv4-mapped one multicast or broadcast."""
    if high & 0xFF == _MULTICAST_V6:
        return True
    if high != 0 or low & _LOW != _MAPPED:
        return False
    address = (low >> 32) & _LOW
    return bool(address == _LOW or _FIRST_MULTICAST_V4 <= address & 0xFF <= _LAST_MULTICAST_V4)
