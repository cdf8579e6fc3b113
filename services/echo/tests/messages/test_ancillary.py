from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.net import udp
from rtppool_echo.messages.ancillary import build_answer, pack_items, unpack_items


def pktinfo(interface: int, answer_from: str, sent_to: str) -> tuple[int, int, bytes]:
    data = struct.pack("=i", interface) + socket.inet_aton(answer_from) + socket.inet_aton(sent_to)
    return socket.IPPROTO_IP, udp.IP_PKTINFO, data


def pktinfo_v6(sent_to: str, interface: int) -> tuple[int, int, bytes]:
    data = socket.inet_pton(socket.AF_INET6, sent_to) + struct.pack("=i", interface)
    return socket.IPPROTO_IPV6, udp.IPV6_PKTINFO, data


TTL_64 = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", 64))
TTL_63 = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", 63))


def test_an_answer_leaves_from_the_address_asked_by_whatever_interface_the_route_says() -> None:
    assert build_answer([pktinfo(3, "192.0.2.7", "192.0.2.7"), TTL_64], None) == [
        pktinfo(0, "192.0.2.7", "0.0.0.0"),
        TTL_63,
    ]
    assert build_answer([pktinfo_v6("2001:db8::7", 3), TTL_64], None) == [pktinfo_v6("2001:db8::7", 0), TTL_63]


def test_a_link_local_answer_keeps_its_interface() -> None:
    assert build_answer([pktinfo_v6("fe80::7", 3), TTL_64], None) == [pktinfo_v6("fe80::7", 3), TTL_63]


@pytest.mark.parametrize("level_and_kind", [(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, 52)])
@pytest.mark.parametrize(("received", "answered"), [(255, 63), (65, 63), (64, 63), (63, 62), (2, 1)])
def test_an_answer_has_one_hop_less_than_its_question_and_63_at_most(
    level_and_kind: tuple[int, int], received: int, answered: int
) -> None:
    assert build_answer([(*level_and_kind, struct.pack("=i", received))], None) == [
        (*level_and_kind, struct.pack("=i", answered))
    ]


@pytest.mark.parametrize("received", [1, 0, -1])
def test_a_question_without_a_hop_left_is_not_answered(received: int) -> None:
    item = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", received))
    assert build_answer([pktinfo(3, "192.0.2.7", "192.0.2.7"), item], None) == "hop_limit"


def test_a_question_whose_hop_limit_is_unknown_is_not_answered() -> None:
    assert build_answer([pktinfo(3, "192.0.2.7", "192.0.2.7")], None) == "hop_limit"


@pytest.mark.parametrize(
    "item",
    [
        pktinfo(3, "192.0.2.7", "192.0.2.255"),
        pktinfo(3, "192.0.2.7", "224.0.0.1"),
        pktinfo_v6("ff02::1", 3),
        pktinfo_v6("::ffff:224.0.0.1", 3),
        pktinfo_v6("::ffff:255.255.255.255", 3),
    ],
)
def test_what_was_sent_to_many_is_not_answered(item: tuple[int, int, bytes]) -> None:
    assert build_answer([item, TTL_64], None) == "destination"


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([1, 8, 40, 50, 67]), st.binary(max_size=24))),
    st.none() | st.integers(0, 63),
)
def test_no_ancillary_data_raises(received: list[tuple[int, int, bytes]], dscp: int | None) -> None:
    build_answer(received, dscp)


@given(
    st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 99), st.binary(max_size=40)), max_size=5),
    st.binary(max_size=60),
)
def test_control_messages_are_read_as_they_were_written_and_what_is_cut_off_ends_them(
    items: list[tuple[int, int, bytes]], rest: bytes
) -> None:
    assert unpack_items(pack_items(items)) == items
    assert unpack_items(pack_items(items) + rest)[: len(items)] == items
    assert all(item in items for item in unpack_items(pack_items(items)[:-1]))
