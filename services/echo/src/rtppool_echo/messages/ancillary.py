"""Ancillary data that the echo asks the kernel for (RFC 3542 section 6; ip(7), ipv6(7), cmsg(3))."""

from __future__ import annotations

import socket

from rtppool_core.net import udp

# struct in_pktinfo: interface, address to answer from, address in the header. struct in6_pktinfo: address, interface.
PKTINFO_V4_BYTES = 12
PKTINFO_V6_BYTES = 20
INTEGER_BYTES = 4


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


def ancillary_space(family: int, *, stamped: bool) -> int:
    """Return the bytes of ancillary data per datagram, with a receive stamp or without.

    They are the same for all datagrams of a socket: TOS is a byte for IPv4 and an int for IPv6, in the same space.
    """
    pktinfo = PKTINFO_V6_BYTES if family == socket.AF_INET6 else PKTINFO_V4_BYTES
    space = socket.CMSG_SPACE(pktinfo) + 2 * socket.CMSG_SPACE(INTEGER_BYTES)
    return space + udp.TIMESTAMP_SPACE if stamped else space
