"""A start-up test: does this kernel stamp what it receives and sends, and by the clock that we read?"""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Literal

from rtppool_core.net.udp import (
    IP_RECVERR,
    IPV6_RECVERR,
    SO_EE_ORIGIN_TIMESTAMPING,
    SO_TIMESTAMPING,
    TIMESPEC,
    TIMESTAMPING_SPACE,
    TIMESTAMPING_TX_SOFTWARE,
    ask_for_stamps_both_ways,
)
from rtppool_core.units import NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """What the start-up test found about kernel receive stamps."""

    stamps: Literal["kernel", "user"]
    reason: str | None = None


PLAUSIBLE_NS = 100_000_000
WAIT_MILLISECONDS = 1000
_REQUEST = [(socket.SOL_SOCKET, SO_TIMESTAMPING, struct.pack("=I", TIMESTAMPING_TX_SOFTWARE))]
# struct sock_extended_err with its offender's address (a sockaddr_in6 at most).
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_MAX_OFFENDER_BYTES = 28
_REPORT_SPACE = TIMESTAMPING_SPACE + socket.CMSG_SPACE(_EXTENDED_ERROR.size + _MAX_OFFENDER_BYTES)
_ERROR_KINDS = {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}
NO_DEPARTURES = "the kernel does not stamp sends: the error of our own departure times is not known"


def examine_kernel_stamps() -> ClockFacts:
    """Send one datagram over loopback and look at its two stamps; what this host can't do is said in `reason`."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(WAIT_MILLISECONDS / 1000)
        sender.connect(receiver.getsockname())
        asked = ask_for_stamps_both_ways(receiver)
        departures = _stamps_departures(sender)
        _, ancillary, _, _ = receiver.recvmsg(16, TIMESTAMPING_SPACE)
    reasons = [_why_not_arrivals(ancillary if asked else None), None if departures else NO_DEPARTURES]
    said = "; ".join(reason for reason in reasons if reason)
    return ClockFacts("user" if reasons[0] else "kernel", said or None)


def _why_not_arrivals(ancillary: list[tuple[int, int, bytes]] | None) -> str | None:
    if ancillary is None:
        return "the kernel refuses SO_TIMESTAMPING: arrivals are read by the media process"
    if not ancillary:
        return "datagrams come without a stamp: arrivals are read by the media process"
    seconds, nanoseconds = TIMESPEC.unpack_from(ancillary[0][2])
    if abs(seconds * NS_PER_SECOND + nanoseconds - time.time_ns()) > PLAUSIBLE_NS:
        return "the kernel's stamps are not of the wall clock that this process reads"
    return None


def _stamps_departures(sender: socket.socket) -> bool:
    if not ask_for_stamps_both_ways(sender):
        return False
    departed_ns = time.time_ns()
    sender.sendmsg([b"stamp"], _REQUEST)
    # On most devices the stamp is there when the send returns.
    poller = select.poll()
    poller.register(sender, select.POLLERR)
    if not poller.poll(WAIT_MILLISECONDS):
        return False
    _, ancillary, _, _ = sender.recvmsg(0, _REPORT_SPACE, socket.MSG_ERRQUEUE)
    stamp_ns = stamp_of(ancillary)
    return stamp_ns is not None and abs(stamp_ns - departed_ns) < PLAUSIBLE_NS


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The stamp (ns) of the first stamped datagram, from one report of the error queue; None for another report."""
    stamp_ns, numbered = None, False
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING) and len(data) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            stamp_ns = seconds * NS_PER_SECOND + nanoseconds
        elif (level, kind) in _ERROR_KINDS and len(data) >= _EXTENDED_ERROR.size:
            _, origin, _, _, _, _, number = _EXTENDED_ERROR.unpack_from(data)
            numbered = origin == SO_EE_ORIGIN_TIMESTAMPING and number == 0
    return stamp_ns if numbered else None
