"""A start-up test: does this kernel stamp received datagrams, and by the clock that we read?"""

from __future__ import annotations

import socket
import time

from rtppool_core.udp import NS_PER_SECOND, TIMESPEC, TIMESTAMP_SPACE, wants_kernel_stamps
from rtppool_relay.status import ClockFacts

PLAUSIBLE_NS = 100_000_000


def examine_kernel_stamps() -> ClockFacts:
    """Send one datagram over loopback and look at its stamp."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(1)
        if not wants_kernel_stamps(sock):
            return ClockFacts("user", "the kernel refuses SO_TIMESTAMPNS: arrivals are read by the media process")
        sock.sendto(b"stamp", sock.getsockname())
        before_ns = time.time_ns()
        _, ancillary, _, _ = sock.recvmsg(16, TIMESTAMP_SPACE)
    if not ancillary:
        return ClockFacts("user", "datagrams come without a stamp: arrivals are read by the media process")
    seconds, nanoseconds = TIMESPEC.unpack_from(ancillary[0][2])
    if abs(seconds * NS_PER_SECOND + nanoseconds - before_ns) > PLAUSIBLE_NS:
        return ClockFacts("user", "the kernel's stamps are not of the wall clock that this process reads")
    return ClockFacts("kernel")
