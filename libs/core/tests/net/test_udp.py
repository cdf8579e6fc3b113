from __future__ import annotations

import errno
import socket
import time

import pytest

from rtppool_core.net import udp
from rtppool_core.units import NS_PER_SECOND


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_kernel_stamps_arrivals_between_sending_and_reading(address: str) -> None:
    with (
        socket.socket(udp.family_of(address), socket.SOCK_DGRAM) as receiver,
        socket.socket(udp.family_of(address), socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((address, 0))
        receiver.settimeout(30)
        assert udp.ask_for_arrival_stamps(receiver)
        before_ns = time.time_ns()
        sender.sendto(b"x", receiver.getsockname()[:2])
        _data, ancillary, _flags, _sender = receiver.recvmsg(10, udp.TIMESTAMP_SPACE)
        after_ns = time.time_ns()
    ((level, kind, data),) = ancillary
    assert (level, kind) == (socket.SOL_SOCKET, udp.SO_TIMESTAMPNS)
    seconds, nanoseconds = udp.TIMESPEC.unpack(data)
    assert before_ns <= seconds * NS_PER_SECOND + nanoseconds <= after_ns
    assert udp.stamp_ns(ancillary) == seconds * NS_PER_SECOND + nanoseconds


def test_a_datagram_without_a_whole_stamp_has_none() -> None:
    tos = (socket.IPPROTO_IP, socket.IP_TOS, bytes(16))
    cut = (socket.SOL_SOCKET, udp.SO_TIMESTAMPNS, bytes(15))
    assert udp.stamp_ns([]) is None
    assert udp.stamp_ns([tos, cut]) is None


@pytest.mark.parametrize(
    ("address", "level", "ask", "kind"),
    [
        ("127.0.0.1", socket.IPPROTO_IP, udp.IP_RECVTOS, socket.IP_TOS),
        ("::1", socket.IPPROTO_IPV6, udp.IPV6_RECVTCLASS, udp.IPV6_TCLASS),
    ],
)
def test_a_marked_socket_sends_with_its_dscp(address: str, level: int, ask: int, kind: int) -> None:
    with (
        socket.socket(udp.family_of(address), socket.SOCK_DGRAM) as receiver,
        socket.socket(udp.family_of(address), socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((address, 0))
        receiver.settimeout(30)
        receiver.setsockopt(level, ask, 1)
        udp.mark(sender, 46)
        sender.sendto(b"x", receiver.getsockname()[:2])
        _data, ancillary, _flags, _sender = receiver.recvmsg(10, 100)
    assert [data[0] for of, what, data in ancillary if (of, what) == (level, kind)] == [46 << 2]


def test_an_address_is_written_with_its_port() -> None:
    assert udp.host_port("192.0.2.1", 4000) == "192.0.2.1:4000"
    assert udp.host_port("2001:db8::1", 4000) == "[2001:db8::1]:4000"


def test_a_bind_error_says_what_where_and_why() -> None:
    error = udp.bind_error("192.0.2.1", 4000, OSError(errno.EADDRINUSE, "x"))
    assert str(error) == "UDP 192.0.2.1:4000 can't be bound: Address already in use"
