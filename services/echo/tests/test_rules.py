from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.net import udp
from rtppool_echo.messages.ancillary import for_answer, packed, unpacked
from rtppool_echo.rules.reflection import REASONS, SourceRules
from rtppool_echo.rules.socket_name import address_of, name_of, port_of, sender_of
from rtppool_echo.workers.counters import WORD_OF_REASON, WORDS, Counters

RULES = SourceRules(own_port=4000)


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("192.0.2.1", 10_000, None),
        ("192.0.2.1", 1024, None),
        ("192.0.2.1", 4000, "own_port"),
        ("192.0.2.1", 1023, "privileged_port"),
        ("192.0.2.1", 53, "privileged_port"),
        ("192.0.2.1", 0, "privileged_port"),
        ("224.0.0.1", 10_000, "source_address"),
        ("255.255.255.255", 10_000, "source_address"),
        ("0.0.0.0", 10_000, "source_address"),
        ("::", 10_000, "source_address"),
        ("ff02::1", 10_000, "source_address"),
        ("::ffff:224.0.0.1", 10_000, "source_address"),
        ("fe80::1", 10_000, None),
        ("192.0.2.1", 5060, "reflector_port"),
        ("2001:db8::1", 1900, "reflector_port"),
        ("127.0.0.1", 10_000, None),
    ],
)
def test_a_sender_is_answered_or_refused_with_a_reason(host: str, port: int, reason: str | None) -> None:
    assert RULES.refusal(ipaddress.ip_address(host).packed, port) == reason


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("fe80::1", True),
        ("2001:db8::1", False),
    ],
)
def test_the_allowed_networks_hold_for_both_families(host: str, allowed: bool) -> None:
    rules = SourceRules(4000, (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10")))
    assert (rules.refusal(ipaddress.ip_address(host).packed, 10_000) is None) == allowed


def pktinfo(interface: int, answer_from: str, sent_to: str) -> tuple[int, int, bytes]:
    data = struct.pack("=i", interface) + socket.inet_aton(answer_from) + socket.inet_aton(sent_to)
    return socket.IPPROTO_IP, udp.IP_PKTINFO, data


def pktinfo_v6(sent_to: str, interface: int) -> tuple[int, int, bytes]:
    data = socket.inet_pton(socket.AF_INET6, sent_to) + struct.pack("=i", interface)
    return socket.IPPROTO_IPV6, udp.IPV6_PKTINFO, data


TTL_64 = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", 64))
TTL_63 = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", 63))


def test_an_answer_leaves_from_the_address_asked_by_whatever_interface_the_route_says() -> None:
    assert for_answer([pktinfo(3, "192.0.2.7", "192.0.2.7"), TTL_64], None) == [
        pktinfo(0, "192.0.2.7", "0.0.0.0"),
        TTL_63,
    ]
    assert for_answer([pktinfo_v6("2001:db8::7", 3), TTL_64], None) == [pktinfo_v6("2001:db8::7", 0), TTL_63]


def test_a_link_local_answer_keeps_its_interface() -> None:
    assert for_answer([pktinfo_v6("fe80::7", 3), TTL_64], None) == [pktinfo_v6("fe80::7", 3), TTL_63]


@pytest.mark.parametrize("level_and_kind", [(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, 52)])
@pytest.mark.parametrize(("received", "answered"), [(255, 63), (65, 63), (64, 63), (63, 62), (2, 1)])
def test_an_answer_has_one_hop_less_than_its_question_and_63_at_most(
    level_and_kind: tuple[int, int], received: int, answered: int
) -> None:
    assert for_answer([(*level_and_kind, struct.pack("=i", received))], None) == [
        (*level_and_kind, struct.pack("=i", answered))
    ]


@pytest.mark.parametrize("received", [1, 0, -1])
def test_a_question_without_a_hop_left_is_not_answered(received: int) -> None:
    item = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", received))
    assert for_answer([pktinfo(3, "192.0.2.7", "192.0.2.7"), item], None) == "hop_limit"


def test_a_question_whose_hop_limit_is_unknown_is_not_answered() -> None:
    assert for_answer([pktinfo(3, "192.0.2.7", "192.0.2.7")], None) == "hop_limit"


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
    assert for_answer([item, TTL_64], None) == "destination"


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([1, 8, 40, 50, 67]), st.binary(max_size=24))),
    st.none() | st.integers(0, 63),
)
def test_no_ancillary_data_raises(received: list[tuple[int, int, bytes]], dscp: int | None) -> None:
    for_answer(received, dscp)


@given(
    st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 99), st.binary(max_size=40)), max_size=5),
    st.binary(max_size=60),
)
def test_control_messages_are_read_as_they_were_written_and_what_is_cut_off_ends_them(
    items: list[tuple[int, int, bytes]], rest: bytes
) -> None:
    assert unpacked(packed(items)) == items
    assert unpacked(packed(items) + rest)[: len(items)] == items
    assert all(item in items for item in unpacked(packed(items)[:-1]))


@given(
    st.ip_addresses().map(str),
    st.integers(0, 65_535),
    st.lists(st.ip_addresses(v=4).map(ipaddress.ip_network), max_size=3),
)
def test_every_refusal_is_a_known_reason(
    host: str, port: int, allow: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> None:
    refusal = SourceRules(4000, tuple(allow)).refusal(ipaddress.ip_address(host).packed, port)
    assert refusal in {None, *REASONS}
    if refusal is None:
        plain = ipaddress.ip_address(host)
        assert not allow or any(plain == network.network_address for network in allow)


@given(st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str), st.integers(0, 65_535), st.integers(0, 2**32 - 1))
def test_a_senders_name_is_read_as_it_was_written(host: str, port: int, scope: int) -> None:
    sender = (host, port, 0, scope) if ":" in host else (host, port)
    name = name_of(sender)
    packed_address = ipaddress.ip_address(host).packed
    assert (address_of(name), port_of(name)) == (packed_address, port)
    assert ipaddress.ip_address(sender_of(name)[0]).packed == packed_address
    assert sender_of(name)[1:] == sender[1:]


def test_the_words_of_a_worker_hold_every_reason() -> None:
    assert max(WORD_OF_REASON.values()) < WORDS


def test_figures_are_summed_over_the_workers() -> None:
    counters = Counters(2)
    for worker in range(2):
        with counters.words(worker) as words:
            words[1] = 5 + worker
            words[WORD_OF_REASON["short"]] = 1
    assert counters.total().answered_packets == 11
    assert counters.total().dropped["short"] == 2
    counters.close()
