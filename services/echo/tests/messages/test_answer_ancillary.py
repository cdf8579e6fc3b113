from __future__ import annotations

import socket
import struct

import pytest
from control_messages import INTEGER, Item, answer_of, hops, model_answer, pktinfo, pktinfo_v6
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.net import udp

TTL_64, TTL_63 = hops(64), hops(63)
IPV6_HOPS = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)


def ipv4(number: int, tos: int) -> list[Item]:
    return [pktinfo(1, "127.0.0.1", "127.0.0.1"), hops(number), (socket.IPPROTO_IP, socket.IP_TOS, bytes([tos]))]


def ipv6(number: int, tos: int) -> list[Item]:
    tclass = (socket.IPPROTO_IPV6, udp.IPV6_TCLASS, INTEGER.pack(tos))
    return [pktinfo_v6("2001:db8::1", 1), hops(number, *IPV6_HOPS), tclass]


def mapped(number: int, tos: int) -> list[Item]:
    return [*ipv6(number, tos)[:1], *ipv4(number, tos)[1:]]


FAMILIES = pytest.mark.parametrize("make", [ipv4, ipv6, mapped])


def test_an_answer_leaves_from_the_address_asked_by_whatever_interface_the_route_says() -> None:
    assert answer_of([pktinfo(3, "192.0.2.7", "192.0.2.7"), TTL_64]) == [pktinfo(0, "192.0.2.7", "0.0.0.0"), TTL_63]
    assert answer_of([pktinfo_v6("2001:db8::7", 3), TTL_64]) == [pktinfo_v6("2001:db8::7", 0), TTL_63]


def test_a_link_local_answer_keeps_its_interface() -> None:
    assert answer_of([pktinfo_v6("fe80::7", 3), TTL_64]) == [pktinfo_v6("fe80::7", 3), TTL_63]


@pytest.mark.parametrize("level_and_kind", [(socket.IPPROTO_IP, socket.IP_TTL), IPV6_HOPS])
@pytest.mark.parametrize(("received", "answered"), [(255, 63), (65, 63), (64, 63), (63, 62), (2, 1)])
def test_an_answer_has_one_hop_less_than_its_question_and_63_at_most(
    level_and_kind: tuple[int, int], received: int, answered: int
) -> None:
    assert answer_of([hops(received, *level_and_kind)]) == [hops(answered, *level_and_kind)]


@pytest.mark.parametrize("received", [1, 0, -1])
def test_a_question_without_a_hop_left_is_not_answered(received: int) -> None:
    assert answer_of([pktinfo(3, "192.0.2.7", "192.0.2.7"), hops(received)]) == "hop_limit"


def test_a_question_whose_hop_limit_is_unknown_is_not_answered() -> None:
    assert answer_of([pktinfo(3, "192.0.2.7", "192.0.2.7")]) == "hop_limit"


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
@pytest.mark.parametrize("number", [64, 1, 9])
def test_what_was_sent_to_many_is_not_answered_with_any_hop_limit(item: Item, number: int) -> None:
    assert answer_of([item, hops(number)]) == "destination"


@FAMILIES
@pytest.mark.parametrize("tos", [0, 0xB8, 0xFF, 4])
def test_the_answer_carries_the_received_tos(make: object, tos: int) -> None:
    assert callable(make)
    assert answer_of(make(9, tos)) == model_answer(make(9, tos), None)
    assert answer_of(make(9, tos))[2] == make(9, tos)[2]


@FAMILIES
def test_the_dscp_of_the_settings_replaces_every_tos(make: object) -> None:
    assert callable(make)
    assert [answer_of(make(64, tos), 46)[2] for tos in (0, 255)] == [make(64, 46 << 2)[2]] * 2


def test_messages_in_another_order_are_answered_as_well() -> None:
    question = ipv4(64, 0xB8)
    assert answer_of(question[::-1]) == answer_of(question)[::-1]
    assert answer_of([question[2], hops(1), question[0]]) == "hop_limit"


addresses = st.sampled_from([b"\xff\xff\xff\xff", b"\xe0\0\0\x01", b"\xc0\0\2\7", b"\x7f\0\0\1"]) | st.binary(
    min_size=4, max_size=4
)
prefixes = st.sampled_from([bytes(10) + b"\xff\xff", b"\xfe\x80", b"\xfe\xc0", b"\xff\x02", b"\x20\x01"])
items = st.one_of(
    st.builds(
        lambda interface, source, other: (0, udp.IP_PKTINFO, struct.pack("=i", interface) + source + (other or source)),
        st.integers(0, 9),
        addresses,
        st.none() | addresses,
    ),
    st.builds(
        lambda prefix, address, interface: (
            *(socket.IPPROTO_IPV6, udp.IPV6_PKTINFO),
            (prefix + address).ljust(16, b"\1") + struct.pack("=i", interface),
        ),
        prefixes,
        addresses,
        st.integers(0, 9),
    ),
    st.builds(hops, st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 66)),
    st.builds(lambda number: hops(number, *IPV6_HOPS), st.integers(-1, 66)),
    st.builds(lambda tos: (0, socket.IP_TOS, bytes([tos])), st.integers(0, 255)),
    st.builds(lambda tos: (41, udp.IPV6_TCLASS, INTEGER.pack(tos)), st.integers(0, 255)),
    st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([2, 8, 35, 40, 50, 52]), st.binary(min_size=1, max_size=24)),
)


@given(st.lists(items, max_size=5), st.none() | st.integers(0, 63))
def test_compiled_code_answers_as_the_model_does(received: list[Item], dscp: int | None) -> None:
    assert answer_of(received, dscp) == model_answer(received, dscp)
