"""A start-up test: does this kernel stamp what it receives and sends, and by the clock that we read?"""

from __future__ import annotations

import select
import socket
import time

from rtppool_core.udp import NS_PER_SECOND, TIMESPEC, TIMESTAMPING_SPACE, wants_stamps_both_ways
from rtppool_relay.departure_stamps import open_stamped_sends
from rtppool_relay.status import ClockFacts

PLAUSIBLE_NS = 100_000_000
WAIT_MILLISECONDS = 1000
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
        asked = wants_stamps_both_ways(receiver)
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
    errors_ns: list[int] = []
    sends = open_stamped_sends(sender, errors_ns.append)
    sends.send(memoryview(b"stamp"), time.time_ns())
    if not errors_ns:
        poller = select.poll()
        poller.register(sender, select.POLLERR)
        poller.poll(WAIT_MILLISECONDS)
        sends.collect()
    return bool(errors_ns) and abs(errors_ns[0]) < PLAUSIBLE_NS
