"""Linux socket options for UDP that Python's `socket` does not name."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from functools import lru_cache

from rtppool_core.units import NS_PER_SECOND

# asm-generic/socket.h; the same on x86-64 and arm64.
SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
SO_INCOMING_CPU = 49
# linux/net_tstamp.h
TIMESTAMPING_TX_SOFTWARE = 1 << 1
TIMESTAMPING_RX_SOFTWARE = 1 << 3
TIMESTAMPING_SOFTWARE = 1 << 4
TIMESTAMPING_OPT_ID = 1 << 7
TIMESTAMPING_OPT_TSONLY = 1 << 11
# A stamp with every arrival. Both ways: a report of each send that asks for a stamp as well.
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
# linux/in6.h, linux/errqueue.h: reports of the error queue, and the origin of those with a stamp
IPV6_RECVERR = 25
SO_EE_ORIGIN_TIMESTAMPING = 4

TIMESPEC = struct.Struct("=qq")
TIMESTAMP_SPACE = socket.CMSG_SPACE(TIMESPEC.size)
# struct scm_timestamping: software, deprecated, hardware.
TIMESTAMPING_SPACE = socket.CMSG_SPACE(3 * TIMESPEC.size)
# An IPv4 TOS is a byte, an IPv6 traffic class an int.
TOS_SPACE = socket.CMSG_SPACE(4)


class BindError(Exception):
    """A UDP socket could not be bound. The message names address, port and reason."""


@lru_cache(maxsize=256)
def family_of(address: str) -> socket.AddressFamily:
    """Return AF_INET or AF_INET6."""
    return socket.AF_INET6 if isinstance(ipaddress.ip_address(address), ipaddress.IPv6Address) else socket.AF_INET


def host_port(address: str, port: int) -> str:
    """Return `192.0.2.1:4000` or `[2001:db8::1]:4000`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def ask_for_arrival_stamps(sock: socket.socket) -> bool:
    """Ask for a receive stamp in ns with every datagram. Returns False where the kernel refuses."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def stamp_ns(ancillary: Iterable[tuple[int, int, bytes]]) -> int | None:
    """Return the kernel's stamp among ancillary data, in ns of Unix time; None without one."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind in (SO_TIMESTAMPNS, SO_TIMESTAMPING) and len(data) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            return int(seconds * NS_PER_SECOND + nanoseconds)
    return None


def ask_for_stamps_both_ways(sock: socket.socket) -> bool:
    """Ask for receive stamps, and for reports of sends that ask for a stamp. Returns False where the kernel refuses.

    SO_TIMESTAMPING delivers the same software stamp of arrivals as SO_TIMESTAMPNS, in one message. With both options
    Linux before 6.12 delivers it twice. A repeated call numbers the stamped sends from 0 again (OPT_ID).
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPED_ARRIVALS)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPED_BOTH_WAYS)
    except OSError:
        return False
    return True


def ask_for_tos(sock: socket.socket) -> bool:
    """Ask for the TOS (IPv4) or traffic class (IPv6) of every datagram. Returns False where the kernel refuses."""
    level, option = (
        (socket.IPPROTO_IPV6, IPV6_RECVTCLASS) if sock.family == socket.AF_INET6 else (socket.IPPROTO_IP, IP_RECVTOS)
    )
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return False
    return True


def mark(sock: socket.socket, dscp: int) -> None:
    """Mark the datagrams of a socket with a DSCP (RFC 2474: the upper six bits of TOS or traffic class)."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


def bind_error(address: str, port: int, error: OSError) -> BindError:
    """Return a `BindError` with address, port and reason."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return BindError(f"UDP {host_port(address, port)} can't be bound: {reason}")
