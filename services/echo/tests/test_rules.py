from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtppool_core import udp
from rtppool_echo.ancillary import for_answer
from rtppool_echo.counters import WORD_OF_REASON, WORDS, Counters
from rtppool_echo.reflect_process import Reflector
from rtppool_echo.reflection import REASONS, SourceRules

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
        ("fe80::1%lo", 10_000, None),
    ],
)
def test_a_sender_is_answered_or_refused_with_a_reason(host: str, port: int, reason: str | None) -> None:
    assert RULES.refusal(host, port) == reason


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("fe80::1%eth0", True),
        ("2001:db8::1", False),
    ],
)
def test_the_allowed_networks_hold_for_both_families(host: str, allowed: bool) -> None:
    rules = SourceRules(4000, (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10")))
    assert (rules.refusal(host, 10_000) is None) == allowed


def pktinfo(interface: int, answer_from: str, sent_to: str) -> tuple[int, int, bytes]:
    data = struct.pack("=i", interface) + socket.inet_aton(answer_from) + socket.inet_aton(sent_to)
    return socket.IPPROTO_IP, udp.IP_PKTINFO, data


def pktinfo_v6(sent_to: str, interface: int) -> tuple[int, int, bytes]:
    data = socket.inet_pton(socket.AF_INET6, sent_to) + struct.pack("=i", interface)
    return socket.IPPROTO_IPV6, udp.IPV6_PKTINFO, data


def test_an_answer_leaves_from_the_address_asked_by_whatever_interface_the_route_says() -> None:
    assert for_answer([pktinfo(3, "192.0.2.7", "192.0.2.7")], None) == [pktinfo(0, "192.0.2.7", "0.0.0.0")]
    assert for_answer([pktinfo_v6("2001:db8::7", 3)], None) == [pktinfo_v6("2001:db8::7", 0)]


def test_a_link_local_answer_keeps_its_interface() -> None:
    assert for_answer([pktinfo_v6("fe80::7", 3)], None) == [pktinfo_v6("fe80::7", 3)]


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
    assert for_answer([item], None) is None


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([1, 8, 40, 50, 67]), st.binary(max_size=24))),
    st.none() | st.integers(0, 63),
)
def test_no_ancillary_data_raises(received: list[tuple[int, int, bytes]], dscp: int | None) -> None:
    for_answer(received, dscp)


@given(
    st.ip_addresses().map(str),
    st.integers(0, 65_535),
    st.lists(st.ip_addresses(v=4).map(ipaddress.ip_network), max_size=3),
)
def test_every_refusal_is_a_known_reason(
    host: str, port: int, allow: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> None:
    assert SourceRules(4000, tuple(allow)).refusal(host, port) in {None, *REASONS}


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


class Datagrams:
    """Stands for a socket: one datagram in, what was sent kept."""

    def __init__(self, datagram: bytes, sender: tuple[str, int]) -> None:
        self.datagram, self.sender = datagram, sender
        self.sent: list[bytes] = []
        self.fail: OSError | None = None

    def recvmsg_into(self, buffers: list[bytearray], _space: int) -> object:
        buffers[0][: len(self.datagram)] = self.datagram
        return len(self.datagram), [pktinfo(1, "127.0.0.1", "127.0.0.1")], 0, self.sender

    def sendmsg(self, buffers: list[memoryview], *_rest: object) -> int:
        if self.fail is not None:
            raise self.fail
        self.sent.append(b"".join(buffers))
        return len(self.sent[-1])


Answer = Callable[[Datagrams], memoryview]


@pytest.fixture(scope="module")
def answer() -> Answer:
    def with_fresh_counters(datagrams: Datagrams) -> memoryview:
        words = memoryview(bytearray(WORDS * 8)).cast("Q")
        Reflector(datagrams, words, RULES, None).answer_one()  # type: ignore[arg-type]
        return words

    return with_fresh_counters


@settings(deadline=None)
@given(st.binary(max_size=200), st.ip_addresses(v=4).map(str), st.integers(0, 65_535))
def test_any_datagram_from_anyone_is_either_answered_as_it_is_or_counted_once(
    answer: Answer, datagram: bytes, host: str, port: int
) -> None:
    datagrams = Datagrams(datagram, (host, port))
    words = answer(datagrams)
    dropped = sum(words[word] for word in WORD_OF_REASON.values())
    assert words[1] + dropped == 1
    assert datagrams.sent == ([datagram] if words[1] else [])


@pytest.mark.parametrize(
    ("error", "reason"), [(BlockingIOError(), "send_full"), (OSError(101, "unreachable"), "send_error")]
)
def test_an_answer_that_can_not_be_sent_is_counted(answer: Answer, error: OSError, reason: str) -> None:
    datagrams = Datagrams(bytes([0x80]) + bytes(11), ("192.0.2.1", 10_000))
    datagrams.fail = error
    words = answer(datagrams)
    assert (words[1], words[WORD_OF_REASON[reason]]) == (0, 1)


def test_forged_senders_do_not_fill_the_memory() -> None:
    datagrams = Datagrams(bytes([0x80]) + bytes(11), ("192.0.2.1", 0))
    words = memoryview(bytearray(WORDS * 8)).cast("Q")
    reflector = Reflector(datagrams, words, RULES, None)  # type: ignore[arg-type]
    for number in range(10_000):
        datagrams.sender = (str(ipaddress.IPv4Address(0x0A000000 + number)), 10_000)
        reflector.answer_one()
    assert words[1] == 10_000
    assert len(reflector._refusals) <= 4096
