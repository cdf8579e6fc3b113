"""Linux socket options for UDP that Python's `socket` does not name, and what reads them."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct

# asm-generic/socket.h; the same on x86-64 and arm64.
SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
# linux/net_tstamp.h
TIMESTAMPING_TX_SOFTWARE = 1 << 1
TIMESTAMPING_RX_SOFTWARE = 1 << 3
TIMESTAMPING_SOFTWARE = 1 << 4
TIMESTAMPING_OPT_ID = 1 << 7
TIMESTAMPING_OPT_TSONLY = 1 << 11
# A stamp with every datagram that arrives; and reports of the sends that ask for one.
STAMPED_ARRIVALS = TIMESTAMPING_SOFTWARE | TIMESTAMPING_RX_SOFTWARE
STAMPED_BOTH_WAYS = STAMPED_ARRIVALS | TIMESTAMPING_OPT_ID | TIMESTAMPING_OPT_TSONLY
# linux/in.h
IP_PKTINFO = 8
IP_RECVERR = 11
IP_RECVTTL = 12
IP_RECVTOS = 13
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50
IPV6_RECVTCLASS = 66
IPV6_TCLASS = 67
# linux/in6.h, linux/errqueue.h: a report of the error queue, and its origin when it brings a stamp
IPV6_RECVERR = 25
SO_EE_ORIGIN_TIMESTAMPING = 4

TIMESPEC = struct.Struct("=qq")
TIMESTAMP_SPACE = socket.CMSG_SPACE(TIMESPEC.size)
# struct scm_timestamping: software, deprecated, hardware.
TIMESTAMPING_SPACE = socket.CMSG_SPACE(3 * TIMESPEC.size)
# An IPv4 TOS is a byte, an IPv6 traffic class an int.
TOS_SPACE = socket.CMSG_SPACE(4)


class BindError(Exception):
    """A UDP socket could not be bound; the message names address, port and reason."""


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6 of an address."""
    return socket.AF_INET6 if isinstance(ipaddress.ip_address(address), ipaddress.IPv6Address) else socket.AF_INET


def host_port(address: str, port: int) -> str:
    """`192.0.2.1:4000` or `[2001:db8::1]:4000`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def wants_kernel_stamps(sock: socket.socket) -> bool:
    """Ask for a receive stamp in ns with every datagram; False where the kernel refuses."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def wants_stamps_both_ways(sock: socket.socket) -> bool:
    """Ask for a receive stamp with every datagram, and for reports of sends that ask for a stamp; False where refused.

    SO_TIMESTAMPING gives the same software stamp of arrivals as SO_TIMESTAMPNS, in one message. Both together would
    give it twice on Linux before 6.12. Asking again numbers the stamped sends from 0 anew (OPT_ID).
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPED_ARRIVALS)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPED_BOTH_WAYS)
    except OSError:
        return False
    return True


def wants_tos(sock: socket.socket) -> bool:
    """Ask for the TOS (IPv4) or traffic class (IPv6) of every datagram; False where the kernel refuses."""
    level, option = (
        (socket.IPPROTO_IPV6, IPV6_RECVTCLASS) if sock.family == socket.AF_INET6 else (socket.IPPROTO_IP, IP_RECVTOS)
    )
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return False
    return True


def mark(sock: socket.socket, dscp: int) -> None:
    """Send with this DSCP (RFC 2474: the upper six bits of TOS or traffic class)."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


def bind_error(address: str, port: int, error: OSError) -> BindError:
    """A `BindError` that says what, where and why."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return BindError(f"UDP {host_port(address, port)} can't be bound: {reason}")
