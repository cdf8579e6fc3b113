"""What came beside a datagram, and what has to go beside its answer (RFC 3542 section 6; ip(7), ipv6(7)).

The answer leaves from the address that the question was sent to, which on a host with several addresses the route
alone would not choose, and carries the question's TOS.
"""

from __future__ import annotations

import socket
import struct

from rtppool_core import udp

# struct in_pktinfo: interface, address to answer from, address in the header. struct in6_pktinfo: address, interface.
PKTINFO_V4 = struct.Struct("=i4s4s")
PKTINFO_V6 = struct.Struct("=16si")
TRAFFIC_CLASS = struct.Struct("=i")
RECEIVE_SPACE = (
    socket.CMSG_SPACE(PKTINFO_V6.size) + socket.CMSG_SPACE(TRAFFIC_CLASS.size) + socket.CMSG_SPACE(PKTINFO_V4.size)
)

Item = tuple[int, int, bytes]

_MAPPED = bytes(10) + b"\xff\xff"
_MULTICAST_V6 = 0xFF
_FIRST_MULTICAST_V4, _LAST_MULTICAST_V4 = 224, 239


def ask_for_ancillary(sock: socket.socket) -> None:
    """Have the kernel tell the destination address and the TOS of every datagram."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, udp.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, udp.IPV6_RECVTCLASS, 1)
        # For the IPv4 senders of a dual-stack socket.
        sock.setsockopt(socket.IPPROTO_IP, udp.IP_RECVTOS, 1)
        return
    sock.setsockopt(socket.IPPROTO_IP, udp.IP_PKTINFO, 1)
    sock.setsockopt(socket.IPPROTO_IP, udp.IP_RECVTOS, 1)


def for_answer(received: list[Item], dscp: int | None) -> list[Item] | None:
    """What goes beside the answer to a datagram that came with `received`; None when it must not be answered.

    That is the case for what was sent to a broadcast or multicast address: no answer can leave from there.
    `dscp` given: the answer carries it instead of the received TOS.
    """
    answer: list[Item] = []
    for level, kind, data in received:
        if (level, kind) == (socket.IPPROTO_IP, udp.IP_PKTINFO) and len(data) == PKTINFO_V4.size:
            item = _from_same_v4(data)
        elif (level, kind) == (socket.IPPROTO_IPV6, udp.IPV6_PKTINFO) and len(data) == PKTINFO_V6.size:
            item = _from_same_v6(data)
        elif (level, kind) in _TOS_KINDS:
            item = (level, kind, data if dscp is None else _class_as_long(data, dscp << 2))
        else:
            continue
        if item is None:
            return None
        answer.append(item)
    return answer


_TOS_KINDS = {(socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, udp.IPV6_TCLASS)}


def _from_same_v4(data: bytes) -> Item | None:
    _interface, answer_from, sent_to = PKTINFO_V4.unpack(data)
    # The kernel gives another address to answer from when the destination was broadcast or multicast.
    if answer_from != sent_to:
        return None
    # Interface 0: the route decides, as answers may well leave by another interface.
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
    return bytes([value]) if len(data) == 1 else TRAFFIC_CLASS.pack(value)
