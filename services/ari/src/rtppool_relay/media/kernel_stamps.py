"""Start-up test: whether this kernel stamps received and sent datagrams, by the clock that the relay reads."""

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
    TIMESTAMPING_SPACE,
    TIMESTAMPING_TX_SOFTWARE,
    ask_for_stamps_both_ways,
    stamp_ns,
)
from rtppool_core.process.periodic import describe_failure, remedy

MAX_STAMP_ERROR_NS = 100_000_000
MAX_WAIT_MILLISECONDS = 1000
READ_INSTEAD = "the media process reads the clock for arrivals"
NO_DEPARTURES = "the kernel does not stamp sends: the error of our own departure times is not known"
_REQUEST = [(socket.SOL_SOCKET, SO_TIMESTAMPING, struct.pack("=I", TIMESTAMPING_TX_SOFTWARE))]
# struct sock_extended_err, followed by the offender's address (a sockaddr_in6 at most).
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_MAX_OFFENDER_BYTES = 28
_REPORT_SPACE = TIMESTAMPING_SPACE + socket.CMSG_SPACE(_EXTENDED_ERROR.size + _MAX_OFFENDER_BYTES)
_ERROR_KINDS = {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}

Ancillary = list[tuple[int, int, bytes]]


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The result: the source of arrival times. `reason` says what the kernel does not stamp, if so."""

    stamps: Literal["kernel", "user"]
    reason: str | None = None


def examine_kernel_stamps() -> ClockFacts:
    """Send one datagram over loopback and check both stamps. A failure is a reason, and the relay starts."""
    try:
        return _examine()
    except (OSError, MemoryError) as error:
        cause = f"{describe_failure(error)}: {remedy(error)}"
        return ClockFacts("user", f"the kernel's stamps could not be examined ({cause})")


def _examine() -> ClockFacts:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(MAX_WAIT_MILLISECONDS / 1000)
        sender.connect(receiver.getsockname())
        asked = ask_for_stamps_both_ways(receiver)
        departures = _stamps_departures(sender)
        _, ancillary, _, _ = receiver.recvmsg(16, TIMESTAMPING_SPACE)
    arrivals_problem = _arrivals_problem(ancillary) if asked else f"the kernel refuses SO_TIMESTAMPING: {READ_INSTEAD}"
    problems = (arrivals_problem, None if departures else NO_DEPARTURES)
    reason = "; ".join(problem for problem in problems if problem)
    return ClockFacts("user" if arrivals_problem else "kernel", reason or None)


def departure_stamp_ns(ancillary: Ancillary) -> int | None:
    """Return the stamp of the first stamped send from one report of the error queue; None for any other report."""
    for level, kind, data in ancillary:
        if (level, kind) in _ERROR_KINDS and len(data) >= _EXTENDED_ERROR.size:
            _, origin, _, _, _, _, number = _EXTENDED_ERROR.unpack_from(data)
            if origin == SO_EE_ORIGIN_TIMESTAMPING and number == 0:
                return stamp_ns(ancillary)
    return None


def _arrivals_problem(ancillary: Ancillary) -> str | None:
    stamped_ns = stamp_ns(ancillary)
    if stamped_ns is None:
        return f"datagrams arrive without a stamp: {READ_INSTEAD}"
    if abs(stamped_ns - time.time_ns()) > MAX_STAMP_ERROR_NS:
        return "the kernel's stamps are not of the wall clock that this process reads"
    return None


def _stamps_departures(sender: socket.socket) -> bool:
    if not ask_for_stamps_both_ways(sender):
        return False
    departed_ns = time.time_ns()
    sender.sendmsg([b"stamp"], _REQUEST)
    # On most devices the stamp is queued when the send returns.
    poller = select.poll()
    poller.register(sender, select.POLLERR)
    if not poller.poll(MAX_WAIT_MILLISECONDS):
        return False
    _, ancillary, _, _ = sender.recvmsg(0, _REPORT_SPACE, socket.MSG_ERRQUEUE)
    stamped_ns = departure_stamp_ns(ancillary)
    return stamped_ns is not None and abs(stamped_ns - departed_ns) < MAX_STAMP_ERROR_NS
