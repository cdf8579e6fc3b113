"""One in a hundred sends is stamped by the kernel as well: the difference is the error of our own departure times.

We read the clock just before the send; SO_TIMESTAMPING's software stamp is taken in the driver, as late as possible.
The kernel queues the stamps on the socket's error queue, numbered by OPT_ID from 0 for each stamped datagram, without
the datagram itself (OPT_TSONLY). On most devices the stamp is there when the send returns; otherwise EPOLLERR tells.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from rtppool_core import udp

ONE_IN = 100
_REQUEST = [(socket.SOL_SOCKET, udp.SO_TIMESTAMPING, struct.pack("=I", udp.TIMESTAMPING_TX_SOFTWARE))]
# struct sock_extended_err with its offender's address (a sockaddr_in6 at most).
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_LARGEST_OFFENDER_BYTES = 28
_REPORT_SPACE = udp.TIMESTAMPING_SPACE + socket.CMSG_SPACE(_EXTENDED_ERROR.size + _LARGEST_OFFENDER_BYTES)
_ORIGIN_TIMESTAMPING = 4
_IP_RECVERR, _IPV6_RECVERR = 11, 25
# Stamps that the kernel never delivers must not fill the memory.
MOST_PENDING = 64


@dataclass(slots=True)
class StampedSends:
    """`send(data, departed_ns)` raises like `socket.send`; `collect()` takes what waits on the error queue."""

    send: Callable[[memoryview, int], None]
    collect: Callable[[], None]


def open_stamped_sends(sock: socket.socket, record: Callable[[int], None]) -> StampedSends:
    """Prepare a socket; `record(error_ns)` gets stamp - `departed_ns` of every stamped send.

    Where the kernel refuses, sends are plain and nothing is recorded.
    """
    if not udp.wants_stamps_both_ways(sock):
        return StampedSends(lambda data, _departed_ns: _plainly(sock, data), lambda: None)
    pending: dict[int, int] = {}
    number = 0

    def send(data: memoryview, departed_ns: int) -> None:
        nonlocal number
        try:
            sock.sendmsg([data], _REQUEST)
        except OSError:
            # Whether the kernel has numbered this one can't be told: begin again at 0.
            pending.clear()
            number = 0
            udp.wants_stamps_both_ways(sock)
            raise
        if len(pending) >= MOST_PENDING:
            pending.clear()
        pending[number] = departed_ns
        number = (number + 1) & 0xFFFF_FFFF
        collect()

    def collect() -> None:
        for _ in range(MOST_PENDING):
            try:
                _, ancillary, _, _ = sock.recvmsg(0, _REPORT_SPACE, socket.MSG_ERRQUEUE)
            except OSError:
                return
            report = stamp_of(ancillary)
            if report is not None and (departed_ns := pending.pop(report[0], None)) is not None:
                record(report[1] - departed_ns)

    # What a media process before this one has left there.
    collect()
    return StampedSends(send, collect)


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """Number of the datagram and its stamp (ns), from one report of the error queue; None for another report."""
    stamp_ns = number = None
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, udp.SO_TIMESTAMPING) and len(data) >= udp.TIMESPEC.size:
            seconds, nanoseconds = udp.TIMESPEC.unpack_from(data)
            stamp_ns = seconds * udp.NS_PER_SECOND + nanoseconds
        elif (level, kind) in _ERROR_KINDS and len(data) >= _EXTENDED_ERROR.size:
            _, origin, _, _, _, _, told = _EXTENDED_ERROR.unpack_from(data)
            number = told if origin == _ORIGIN_TIMESTAMPING else None
    return None if stamp_ns is None or number is None else (number, stamp_ns)


_ERROR_KINDS = {(socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)}


def _plainly(sock: socket.socket, data: memoryview) -> None:
    sock.send(data)
