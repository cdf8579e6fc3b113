"""The rules as they act on datagrams, with the kernel's part played by the test."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from control_messages import Item
from echo_line import OWN_PORT, STAMP_SECONDS, EchoLine, ancillary
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.rtp import echo_extension
from rtppool_core.rtp import header as rtp
from rtppool_echo.reflector.extension import MIN_SLOW_NS
from rtppool_echo.reflector.memory import Rules
from rtppool_echo.rules.sender_limits import MAX_SENDERS
from rtppool_echo.rules.sender_table import COUNT
from rtppool_echo.workers.counters import ALIVE_AT_NS, ASKED_FROM_ELSEWHERE, WORD_OF_REASON

PACKET = rtp.build(rtp.RtpHeader(payload_type=0, sequence=1, timestamp=160, ssrc=7), b"\xff" * 160)


class Bench(EchoLine):
    """Answers one datagram at a time, at the moment of its arrival."""

    def __init__(self, *, rate: int = 0, rtp_only: bool = True, stamped: bool = True) -> None:
        super().__init__(Rules(OWN_PORT, rate=rate, rtp_only=rtp_only), stamped=stamped)
        self.held_ns = 1

    def answer(
        self, datagram: bytes, sender: tuple[str, int] = ("192.0.2.1", 10_000), items: list[Item] | None = None
    ) -> bytes | None:
        question = datagram, sender, ancillary() if items is None else items
        answers = self.answers([question], self.stamp_ns + self.held_ns)
        assert len(answers) in {0, 1}
        return answers[0] if answers else None


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


@given(datagrams, st.ip_addresses(v=4).map(str), st.integers(0, 65_535), st.integers(0, 255), st.booleans())
def test_any_datagram_from_anyone_is_either_answered_as_it_is_or_counted_once(
    make_bench: Callable[..., Bench], datagram: bytes, host: str, port: int, ttl: int, rtp_only: bool
) -> None:
    bench = make_bench(rtp_only=rtp_only)
    words = list(bench.words)
    answer = bench.answer(datagram, (host, port), ancillary(ttl))
    dropped = sum(bench.words[word] - words[word] for word in WORD_OF_REASON.values())
    assert (answer, dropped) in {(datagram, 0), (None, 1)}
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


def test_a_sender_gets_no_more_than_its_rate() -> None:
    bench = Bench(rate=1)
    bench.pause_ns = 0
    assert bench.answer(PACKET) == PACKET
    assert bench.answer(PACKET) is None
    assert bench.answer(PACKET, ("192.0.2.1", 10_001)) == PACKET
    assert bench.dropped() == {"rate": 1}


@pytest.mark.parametrize("rtp_only", [True, False])
def test_a_packet_that_was_just_answered_is_refused_and_counted(rtp_only: bool) -> None:
    bench = Bench(rtp_only=rtp_only)
    bench.pause_ns = 0
    assert bench.answer(PACKET) == PACKET
    assert bench.answer(PACKET) is None
    assert bench.answer(PACKET, ("192.0.2.1", 10_001)) == PACKET
    assert bench.dropped() == {"repeated": 1}


def test_a_repeated_datagram_that_is_no_rtp_is_answered_where_anything_is() -> None:
    bench = Bench(rtp_only=False)
    bench.pause_ns = 0
    assert bench.answer(PACKET) == PACKET
    for _ in range(2):
        assert bench.answer(b"no RTP") == b"no RTP"


def test_forged_senders_do_not_fill_the_memory() -> None:
    bench = Bench(rate=200)
    for number in range(2 * MAX_SENDERS):
        sender = (str(ipaddress.IPv4Address(0x0A000000 + number)), 10_000)
        bench.answer(with_extension(), sender)
    assert bench.memory.array("senders")[COUNT] <= MAX_SENDERS
    assert bench.memory.array("streams")[COUNT] == MAX_SENDERS


def test_nothing_that_came_only_shows_that_the_process_lives() -> None:
    bench = Bench()
    assert bench.answers([], 1) == []
    assert bench.words[ALIVE_AT_NS] > 0
    assert sum(bench.words[1:]) == 0


@pytest.mark.parametrize(("host", "elsewhere"), [("127.0.0.1", 0), ("192.0.2.1", 1)])
def test_a_sender_on_another_machine_is_noted(host: str, elsewhere: int) -> None:
    bench = Bench()
    assert bench.answer(PACKET, (host, 10_000)) == PACKET
    assert bench.words[ASKED_FROM_ELSEWHERE] == elsewhere


def test_a_batch_keeps_its_order_and_leaves_out_what_is_refused() -> None:
    bench = Bench()
    packets = [rtp.build(rtp.RtpHeader(0, number, 160 * number, 7), b"x" * number) for number in range(64)]
    sent = [packet if at % 3 else b"no RTP" for at, packet in enumerate(packets)]
    answers = bench.answers([(packet, ("192.0.2.1", 10_000), ancillary()) for packet in sent], 1)
    assert answers == [packet for at, packet in enumerate(packets) if at % 3]
    assert bench.dropped() == {"short": 22}


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
    bench.held_ns = MIN_SLOW_NS
    answer = bench.answer(with_extension())
    assert host_field(answer) == 1 + 3
    _, received_ns, sent_ns = echo_extension.MEASURED.unpack_from(answer or b"", echo_extension.MEASURED_OFFSET)
    assert bench.asked_for_ns[-1] == sent_ns - received_ns


def test_an_ordinary_packet_has_no_host_time_where_a_witness_works() -> None:
    bench = Bench()
    bench.host_ns = 10**9
    bench.held_ns = MIN_SLOW_NS - 1
    assert host_field(bench.answer(with_extension())) == 1
    assert bench.asked_for_ns == [0]


@pytest.mark.parametrize("held_ns", [-(10**9), 10**9])
def test_without_a_witness_no_host_time_is_reported(held_ns: int) -> None:
    bench = Bench()
    bench.held_ns = held_ns
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
    assert (count, received_ns) == (1, bench.stamp_ns)


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
    assert bench.memory.array("streams")[COUNT] == 0


def test_control_messages_that_are_not_whole_are_not_answered() -> None:
    bench = Bench()
    assert bench.answer(PACKET, items=ancillary()[:2]) is None
    assert bench.dropped() == {"destination": 1}
