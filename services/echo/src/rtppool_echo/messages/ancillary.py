"""Ancillary data of a datagram and of its answer (RFC 3542 section 6; ip(7), ipv6(7), cmsg(3)).

The answer leaves from the address that the question was sent to. On a host with several addresses the route alone could
choose another one. The answer carries the question's TOS. Its hop limit is one below the question's and at most 63, so
that two echoes that answer each other stop after at most 64 datagrams (RFC 8656 section 21.1.7).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from rtppool_core.net import udp
from rtppool_echo.rules.refusals import REASON_DESTINATION, REASON_HOP_LIMIT

# struct in_pktinfo: interface, address to answer from, address in the header. struct in6_pktinfo: address, interface.
PKTINFO_V4 = struct.Struct("=i4s4s")
PKTINFO_V6 = struct.Struct("=16si")
INTEGER = struct.Struct("=i")
# struct cmsghdr on 64 bits: length including this header, level, type. Data follows, padded to 8 bytes.
HEADER = struct.Struct("=Qii")
ALIGNMENT = 8
# TOS is a byte for IPv4 and an int for IPv6; both take the same space.
HOPS_AND_TOS_SPACE = 2 * socket.CMSG_SPACE(INTEGER.size)
MAX_ANSWERED_HOPS = 64

Item = tuple[int, int, bytes]

_MAPPED = bytes(10) + b"\xff\xff"
_MULTICAST_V6 = 0xFF
_FIRST_MULTICAST_V4, _LAST_MULTICAST_V4 = 224, 239
_TOS_KINDS = {(socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, udp.IPV6_TCLASS)}
_HOPS_KINDS = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}


def ask_for_ancillary(sock: socket.socket) -> None:
    """Have the kernel report the destination address, the TOS and the hop limit of every datagram."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, udp.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, udp.IPV6_RECVTCLASS, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, udp.IP_PKTINFO, 1)
    # Also for the IPv4 senders of a dual-stack socket.
    sock.setsockopt(socket.IPPROTO_IP, udp.IP_RECVTOS, 1)
    sock.setsockopt(socket.IPPROTO_IP, udp.IP_RECVTTL, 1)


def ancillary_space(family: int) -> int:
    """Return the bytes of ancillary data per datagram: the same for all datagrams and answers of a socket."""
    pktinfo = PKTINFO_V6 if family == socket.AF_INET6 else PKTINFO_V4
    return socket.CMSG_SPACE(pktinfo.size) + HOPS_AND_TOS_SPACE


def build_answer(received: Iterable[Item], dscp: int | None) -> list[Item] | str:
    """Return the ancillary data of the answer to a datagram that arrived with `received`, or the reason to refuse it.

    A datagram to a broadcast or multicast address is refused, because no answer can leave from there, and so is one
    without a hop left. The answer carries `dscp`, or the received TOS when that is None.
    """
    answer: list[Item] = []
    hops = 0
    for level, kind, data in received:
        if (level, kind) == (socket.IPPROTO_IP, udp.IP_PKTINFO) and len(data) == PKTINFO_V4.size:
            item = _from_same_v4(data)
        elif (level, kind) == (socket.IPPROTO_IPV6, udp.IPV6_PKTINFO) and len(data) == PKTINFO_V6.size:
            item = _from_same_v6(data)
        elif (level, kind) in _HOPS_KINDS and len(data) == INTEGER.size:
            hops = min(INTEGER.unpack(data)[0], MAX_ANSWERED_HOPS) - 1
            item = (level, kind, INTEGER.pack(hops))
        elif (level, kind) in _TOS_KINDS:
            item = (level, kind, data if dscp is None else _class_as_long(data, dscp << 2))
        else:
            continue
        if item is None:
            return REASON_DESTINATION
        answer.append(item)
    return answer if hops > 0 else REASON_HOP_LIMIT


def has_usual_order(items: list[Item]) -> bool:
    """Return whether these are destination, hop limit and TOS, in the order in which Linux writes them."""
    kinds = [(level, kind) for level, kind, _ in items]
    return len(kinds) == 3 and kinds[1] in _HOPS_KINDS and kinds[2] in _TOS_KINDS  # noqa: PLR2004 as the docstring says


def pack_items(items: Iterable[Item]) -> bytes:
    """Lay out control messages as the kernel does."""
    parts = [
        HEADER.pack(HEADER.size + len(data), level, kind) + data + bytes(-len(data) % ALIGNMENT)
        for level, kind, data in items
    ]
    return b"".join(parts)


def unpack_items(control: bytes) -> list[Item]:
    """Read control messages. A truncated message, or one of an impossible length, ends the list."""
    items: list[Item] = []
    at = 0
    while at + HEADER.size <= len(control):
        length, level, kind = HEADER.unpack_from(control, at)
        if not HEADER.size <= length <= len(control) - at:
            break
        items.append((level, kind, control[at + HEADER.size : at + length]))
        at += length + -length % ALIGNMENT
    return items


def _from_same_v4(data: bytes) -> Item | None:
    _interface, answer_from, sent_to = PKTINFO_V4.unpack(data)
    # The kernel proposes another source address when the destination was broadcast or multicast.
    if answer_from != sent_to:
        return None
    # Interface 0 lets the route decide: an answer may leave by another interface.
    return socket.IPPROTO_IP, udp.IP_PKTINFO, PKTINFO_V4.pack(0, answer_from, bytes(4))


def _from_same_v6(data: bytes) -> Item | None:
    sent_to, interface = PKTINFO_V6.unpack(data)
    if sent_to[0] == _MULTICAST_V6:
        return None
    if sent_to[:12] == _MAPPED and (
        _FIRST_MULTICAST_V4 <= sent_to[12] <= _LAST_MULTICAST_V4 or sent_to[12:] == b"\xff\xff\xff\xff"
    ):
        return None
    # Only a link-local address needs its interface.
    link_local = sent_to[0] == 0xFE and sent_to[1] & 0xC0 == 0x80  # noqa: PLR2004 fe80::/10, RFC 4291 section 2.4
    return socket.IPPROTO_IPV6, udp.IPV6_PKTINFO, PKTINFO_V6.pack(sent_to, interface if link_local else 0)


def _class_as_long(data: bytes, value: int) -> bytes:
    return bytes([value]) if len(data) == 1 else INTEGER.pack(value)
