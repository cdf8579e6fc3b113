"""The rules as they act on datagrams, with the kernel's part played by the test."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtppool_core.net import udp
from rtppool_core.rtp import echo_extension
from rtppool_core.rtp import header as rtp
from rtppool_echo.messages.ancillary import pack_items
from rtppool_echo.messages.answer_ancillary import MAX_CACHED, AnswerAncillary
from rtppool_echo.messages.datagram_memory import SLOT_BYTES, DatagramMemory
from rtppool_echo.messages.socket_name import name_of, source_of
from rtppool_echo.rules.received_counts import ReceivedCounts
from rtppool_echo.rules.recent_answers import RecentAnswers
from rtppool_echo.rules.refusals import SourceRules
from rtppool_echo.rules.sender_limits import MAX_SENDERS, SenderLimits
from rtppool_echo.workers.counters import ALIVE_AT_NS, ANSWERED_BYTES, ANSWERED_PACKETS, WORD_OF_REASON, WORDS, Tally
from rtppool_echo.workers.extension_filler import MIN_SLOW_NS, ExtensionFiller
from rtppool_echo.workers.reflector import make_reflector

Item = tuple[int, int, bytes]
PACKET = rtp.build(rtp.RtpHeader(payload_type=0, sequence=1, timestamp=160, ssrc=7), b"\xff" * 160)
STAMP_SECONDS = 1_700_000_000


def ancillary(ttl: int = 64, tos: int = 0xB8) -> list[Item]:
    here = socket.inet_aton("127.0.0.1")
    return [
        (socket.IPPROTO_IP, udp.IP_PKTINFO, struct.pack("=i", 1) + here + here),
        (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", ttl)),
        (socket.IPPROTO_IP, socket.IP_TOS, bytes([tos])),
    ]


class Kernel:
    """Provides one datagram at a time and keeps the answers."""

    def __init__(self, memory: DatagramMemory) -> None:
        self._memory = memory
        self.stamp_ns = STAMP_SECONDS * 10**9 + 5
        self.next: tuple[bytes, tuple[str, int], list[Item]] | None = None
        self.sent: list[bytes] = []
        self.refuses: str | None = None

    def receive(self) -> int:
        if self.next is None:
            return 0
        datagram, sender, items = self.next
        self._memory.payloads[: len(datagram)] = datagram
        stamp = (socket.SOL_SOCKET, udp.SO_TIMESTAMPNS, udp.TIMESPEC.pack(*divmod(self.stamp_ns, 10**9)))
        self._memory.put_question(name_of(sender), pack_items([stamp]), pack_items(items), len(datagram))
        return 1

    def send_first(self, number: int, _flags: int) -> int:
        return 0 if self.refuses else len(self.send(range(number)))

    def send_slots(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        if self.refuses:
            return [(at, self.refuses) for at in slots]
        self.send(slots)
        return []

    def send_after_refused(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        return [(at, str(self.refuses)) for at in slots]

    def send(self, slots: Sequence[int]) -> Sequence[int]:
        self.sent += [bytes(self._memory.answer(at)) for at in slots]
        return slots


class Forgetful(RecentAnswers):
    """Remembers no answer, for tests that send one packet more than once."""

    def is_repeated(self, _sender: bytes, _at: int, _size: int, _now_ns: int) -> bool:
        return False


class Bench:
    def __init__(
        self, *, rate: int = 0, rtp_only: bool = True, stamped: bool = True, recent: type[RecentAnswers] = Forgetful
    ) -> None:
        self.host_ns: int | None = None
        self.asked_for_ns: list[int] = []
        memory = DatagramMemory(socket.AF_INET, stamped=stamped)
        self.kernel = Kernel(memory)
        self.words = memoryview(bytearray(WORDS * 8)).cast("Q")
        self.limits = SenderLimits(SourceRules(4000), rate, 0, source_of)
        self.ancillary = AnswerAncillary(memory, None)
        self.counts = ReceivedCounts()
        self.reflect = make_reflector(
            self.kernel,
            memory,
            Tally(self.words),
            self.limits.refusal,
            self.ancillary,
            ExtensionFiller(memory, self.counts, self.host_time),
            recent(memory.payloads, SLOT_BYTES),
            rtp_only=rtp_only,
        )

    def host_time(self, span_ns: int) -> int | None:
        self.asked_for_ns.append(span_ns)
        return self.host_ns if self.host_ns is None else min(span_ns, self.host_ns)

    def answer(
        self, datagram: bytes, sender: tuple[str, int] = ("192.0.2.1", 10_000), items: list[Item] | None = None
    ) -> bytes | None:
        self.kernel.next = datagram, sender, ancillary() if items is None else items
        before = len(self.kernel.sent)
        assert self.reflect() == 1
        assert len(self.kernel.sent) - before in {0, 1}
        return self.kernel.sent[-1] if len(self.kernel.sent) > before else None

    def dropped(self) -> dict[str, int]:
        return {reason: self.words[word] for reason, word in WORD_OF_REASON.items() if self.words[word]}


def with_extension(payload: bytes = b"p" * 160) -> bytes:
    plain = rtp.build(rtp.RtpHeader(payload_type=0, sequence=1, timestamp=160, ssrc=7), payload)
    return bytes([echo_extension.FIRST_BYTE]) + plain[1:12] + echo_extension.UNFILLED + plain[12:]


@pytest.fixture(scope="module")
def make_bench() -> Callable[..., Bench]:
    kept: dict[str, Bench] = {}

    def bench(**options: bool) -> Bench:
        return kept.setdefault(str(options), Bench(**options))

    return bench


datagrams = st.binary(max_size=200) | st.builds(
    lambda first, rest: bytes([first, 0]) + rest, st.integers(0x80, 0xBF), st.binary(min_size=10, max_size=100)
)


@settings(deadline=None)
@given(datagrams, st.ip_addresses(v=4).map(str), st.integers(0, 65_535), st.integers(0, 255), st.booleans())
def test_any_datagram_from_anyone_is_either_answered_as_it_is_or_counted_once(
    make_bench: Callable[..., Bench], datagram: bytes, host: str, port: int, ttl: int, rtp_only: bool
) -> None:
    bench = make_bench(rtp_only=rtp_only)
    words = list(bench.words)
    answer = bench.answer(datagram, (host, port), ancillary(ttl))
    dropped = sum(bench.words[word] - words[word] for word in WORD_OF_REASON.values())
    packets, octets = (bench.words[word] - words[word] for word in (ANSWERED_PACKETS, ANSWERED_BYTES))
    assert (answer, packets, octets, dropped) in {(datagram, 1, len(datagram), 0), (None, 0, 0, 1)}
    if answer is not None:
        assert port >= 1024
        assert ttl > 1
        assert not rtp_only or rtp.defect(datagram, len(datagram)) is None


@pytest.mark.parametrize("datagram", [b"", b"x", b"GET / HTTP/1.1", bytes([0x80, 200]) + bytes(26), bytes([0x90, 0])])
def test_what_is_no_rtp_is_answered_only_when_that_is_asked_for(datagram: bytes) -> None:
    assert Bench().answer(datagram) is None
    assert Bench(rtp_only=False).answer(datagram) == datagram


def test_a_long_datagram_before_does_not_make_a_short_one_rtp() -> None:
    bench = Bench()
    assert bench.answer(PACKET) == PACKET
    assert bench.answer(b"") is None
    assert bench.answer(b"\x80") is None
    assert bench.dropped() == {"short": 2}
    assert bench.answer(PACKET[:50]) == PACKET[:50]


@pytest.mark.parametrize("reason", ["send_full", "send_error"])
def test_an_answer_that_can_not_be_sent_is_counted(reason: str) -> None:
    bench = Bench()
    bench.kernel.refuses = reason
    assert bench.answer(PACKET) is None
    assert bench.dropped() == {reason: 1}
    assert (bench.words[ANSWERED_PACKETS], bench.words[ANSWERED_BYTES]) == (0, 0)


def test_a_sender_gets_no_more_than_its_rate() -> None:
    bench = Bench(rate=1)
    assert bench.answer(PACKET) == PACKET
    assert bench.answer(PACKET) is None
    assert bench.answer(PACKET, ("192.0.2.1", 10_001)) == PACKET
    assert bench.dropped() == {"rate": 1}


@pytest.mark.parametrize("rtp_only", [True, False])
def test_a_packet_that_was_just_answered_is_refused_and_counted(rtp_only: bool) -> None:
    bench = Bench(recent=RecentAnswers, rtp_only=rtp_only)
    assert bench.answer(PACKET) == PACKET
    assert bench.answer(PACKET) is None
    assert bench.answer(PACKET, ("192.0.2.1", 10_001)) == PACKET
    assert bench.dropped() == {"repeated": 1}


def test_a_repeated_datagram_that_is_no_rtp_is_answered_where_anything_is() -> None:
    bench = Bench(recent=RecentAnswers, rtp_only=False)
    assert bench.answer(PACKET) == PACKET
    for _ in range(2):
        assert bench.answer(b"no RTP") == b"no RTP"


def test_forged_senders_addresses_asked_and_hop_limits_do_not_fill_the_memory() -> None:
    bench = Bench(rate=200)
    for number in range(2 * MAX_SENDERS):
        sender = (str(ipaddress.IPv4Address(0x0A000000 + number)), 10_000)
        bench.answer(with_extension(), sender, ancillary(2 + number % 250, number // 250 % 256))
    assert len(bench.limits._senders) <= MAX_SENDERS
    assert len(bench.ancillary) <= MAX_CACHED
    assert len(bench.counts) <= MAX_SENDERS


def test_nothing_that_came_only_shows_that_the_process_lives() -> None:
    bench = Bench()
    assert bench.reflect() == 0
    assert bench.words[ALIVE_AT_NS] > 0
    assert sum(bench.words[1:]) == 0


def test_the_extension_is_filled_in_place_and_no_other_byte_is_changed() -> None:
    bench = Bench()
    for count in (1, 2, 3):
        answer = bench.answer(with_extension())
        assert answer is not None
        number, received_ns, sent_ns = echo_extension.MEASURED.unpack_from(answer, echo_extension.MEASURED_OFFSET)
        assert (number, received_ns) == (count, STAMP_SECONDS * 10**9 + 5)
        assert sent_ns > received_ns
        emptied = bytearray(answer)
        emptied[echo_extension.FILLED_OFFSET] = 0
        end = echo_extension.MEASURED_OFFSET + echo_extension.MEASURED.size
        emptied[echo_extension.MEASURED_OFFSET : end] = bytes(echo_extension.MEASURED.size)
        assert emptied == with_extension()


def host_field(answer: bytes | None) -> int:
    assert answer is not None
    return int.from_bytes(answer[echo_extension.HOST_OFFSET : echo_extension.MEASURED_OFFSET], "big")


def test_a_packet_that_was_held_carries_the_host_time_within() -> None:
    bench = Bench()
    bench.host_ns = 3 * echo_extension.HOST_UNIT_NS
    bench.kernel.stamp_ns = time.time_ns() - MIN_SLOW_NS
    answer = bench.answer(with_extension())
    assert host_field(answer) == 1 + 3
    _, received_ns, sent_ns = echo_extension.MEASURED.unpack_from(answer or b"", echo_extension.MEASURED_OFFSET)
    assert bench.asked_for_ns[-1] == sent_ns - received_ns


def test_an_ordinary_packet_has_no_host_time_where_a_witness_works() -> None:
    bench = Bench()
    bench.host_ns = 10**9
    bench.kernel.stamp_ns = time.time_ns() + 10**9  # held for less than no time: no pause of this test is in it
    assert host_field(bench.answer(with_extension())) == 1
    assert bench.asked_for_ns == [0]


@pytest.mark.parametrize("held_ns", [-(10**9), 10**9])
def test_without_a_witness_no_host_time_is_reported(held_ns: int) -> None:
    bench = Bench()
    bench.kernel.stamp_ns = time.time_ns() - held_ns
    assert host_field(bench.answer(with_extension())) == 0


def test_a_relay_before_the_host_time_reads_the_same_as_ever() -> None:
    bench = Bench()
    bench.host_ns = 7 * echo_extension.HOST_UNIT_NS
    answer = bench.answer(with_extension())
    assert answer is not None
    # It compares the mark without its last byte, and reads that byte and the values of `MEASURED`.
    start = echo_extension.MARK_OFFSET
    assert answer[start : echo_extension.MARK_END] == echo_extension.FILLED_MARK
    count, received_ns, _ = echo_extension.MEASURED.unpack_from(answer, start + 8)
    assert (count, received_ns) == (1, bench.kernel.stamp_ns)


def test_packets_are_counted_by_source_and_ssrc() -> None:
    bench = Bench()
    other = bytearray(with_extension())
    other[11] ^= 1

    def count(datagram: bytes, port: int) -> int:
        answer = bench.answer(datagram, ("192.0.2.1", port))
        return int(echo_extension.MEASURED.unpack_from(answer or b"", echo_extension.MEASURED_OFFSET)[0])

    assert [count(with_extension(), 10_000), count(with_extension(), 10_000), count(with_extension(), 10_001)] == [
        1,
        2,
        1,
    ]
    assert [count(bytes(other), 10_000), count(with_extension(), 10_000)] == [1, 3]


@pytest.mark.parametrize("at", [0, 12, 13, 15, 16, 17])
def test_a_packet_that_differs_from_the_relays_form_in_one_byte_comes_back_as_it_is(at: int) -> None:
    packet = bytearray(with_extension())
    packet[at] ^= 0x20 if at == 0 else 1
    packet[-1] = 4
    assert Bench(rtp_only=False).answer(bytes(packet)) == packet


def test_the_extension_is_filled_down_to_the_smallest_packet_and_not_below() -> None:
    smallest = with_extension(b"")
    assert len(smallest) == echo_extension.MIN_PACKET_BYTES
    assert Bench().answer(smallest) not in {smallest, None}
    assert Bench(rtp_only=False).answer(smallest[:-1]) == smallest[:-1]


def test_without_receive_stamps_the_extension_stays_unfilled() -> None:
    bench = Bench(stamped=False)
    assert bench.answer(with_extension()) == with_extension()
    assert len(bench.counts) == 0


def test_control_messages_that_are_not_whole_are_not_answered() -> None:
    bench = Bench()
    assert bench.answer(PACKET, items=ancillary()[:2]) is None
    assert bench.dropped() == {"destination": 1}
