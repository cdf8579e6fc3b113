"""The leg between relay and echo: its opt-in header extension, its marks, and the kernel's stamps of departures."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packet_line import Line

from rtppool_core.net.udp import mark
from rtppool_core.rtp import echo_extension as extension
from rtppool_core.rtp.header import parse
from rtppool_relay.media.rows import DEPARTURE_ERRORS, Word
from rtppool_relay.packets.layout import MAX_DATAGRAM
from rtppool_relay.streams.row_reader import departure_errors
from rtppool_testing.packets import rtp_packet
from rtppool_testing.sockets import received

CSRC_PACKET = b"\x81\x00\x00\x05" + bytes(4) + b"\0\0\0\x07" + b"csrc" + b"p" * 20


@pytest.fixture
def extended_line() -> Iterator[Line]:
    line = Line(extend=True)
    line.connect()
    yield line
    line.close()


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    one.connect()
    yield one
    one.close()


def filled(question: bytes, count: int, received_ns: int, sent_ns: int) -> bytes:
    answer = bytearray(question)
    answer[extension.FILLED_OFFSET] = 1
    extension.MEASURED.pack_into(answer, extension.MEASURED_OFFSET, count, received_ns, sent_ns)
    return bytes(answer)


def asked(line: Line, sent: bytes) -> bytes:
    line.send(sent)
    question = received(line.echo)
    assert question is not None
    return question


def test_with_the_extension_the_echo_gets_the_same_packet_with_room_to_fill(extended_line: Line) -> None:
    question = asked(extended_line, rtp_packet(1))
    assert len(question) == len(rtp_packet(1)) + extension.EXTENSION_BYTES
    header = parse(question)
    assert (header.sequence, header.ssrc, header.extension) == (1, 7, True)
    assert question[extension.MARK_OFFSET :][: extension.EXTENSION_BYTES] == extension.UNFILLED
    assert question[header.payload_offset :] == rtp_packet(1)[12:]


def test_what_the_echo_filled_in_is_in_the_row_and_asterisk_gets_its_own_bytes(extended_line: Line) -> None:
    question = asked(extended_line, rtp_packet(1))
    extended_line.answer(filled(question, 3, 1_000, 51_000))
    assert received(extended_line.asterisk) == rtp_packet(1)
    (row,) = extended_line.reader.take(0)
    assert (row["echo_count"], row["echo_residence_ns"], row["bytes"], row["answered"] != 0) == (3, 50_000, 172, True)


def test_a_plain_echo_that_fills_nothing_still_works(extended_line: Line) -> None:
    extended_line.answer(asked(extended_line, rtp_packet(1)))
    assert received(extended_line.asterisk) == rtp_packet(1)
    (row,) = extended_line.reader.take(0)
    assert (row["echo_count"], row["echo_residence_ns"]) == (0, 0)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x90" + rtp_packet(5)[1:12] + b"\xbe\xde\x00\x01\x10abc" + b"p" * 20,
        b"\x90" + rtp_packet(5)[1:12] + extension.UNFILLED + b"p" * 20,
        CSRC_PACKET,
    ],
    ids=["another extension", "the same one, sent by Asterisk", "a CSRC list"],
)
def test_packets_that_are_not_plain_go_and_return_as_they_are(extended_line: Line, sent: bytes) -> None:
    assert asked(extended_line, sent) == sent
    extended_line.answer(sent)
    assert received(extended_line.asterisk) == sent


def test_an_echo_whose_clock_runs_backwards_held_the_packet_for_no_time(extended_line: Line) -> None:
    extended_line.answer(filled(asked(extended_line, rtp_packet(1)), 1, 51_000, 1_000))
    (row,) = extended_line.reader.take(0)
    assert (row["echo_count"], row["echo_residence_ns"]) == (1, 0)


def test_the_slot_of_an_old_packet_keeps_nothing_of_what_the_echo_said_then(extended_line: Line) -> None:
    extended_line.answer(filled(asked(extended_line, rtp_packet(1)), 1, 0, 9))
    extended_line.answer(asked(extended_line, rtp_packet(1 + 1024)))
    assert extended_line.reader.take(0)["echo_count"].tolist() == [0]


def test_an_echo_reports_its_host_time_in_units(extended_line: Line) -> None:
    answer = bytearray(filled(asked(extended_line, rtp_packet(1)), 1, 0, 9))
    answer[extension.HOST_OFFSET : extension.MEASURED_OFFSET] = (1 + 0x0203).to_bytes(2, "big")
    extended_line.answer(bytes(answer))
    (row,) = extended_line.reader.take(0)
    assert (row["echo_host_ns"], row["echo_count"]) == (0x0203 * 32_000, 1)


def test_an_echo_before_that_field_reports_none(extended_line: Line) -> None:
    extended_line.answer(filled(asked(extended_line, rtp_packet(1)), 1, 0, 9))
    (row,) = extended_line.reader.take(0)
    assert (row["echo_host_ns"], row["echo_count"]) == (-1, 1)


def test_the_host_time_of_an_unfilled_extension_does_not_count(extended_line: Line) -> None:
    answer = bytearray(asked(extended_line, rtp_packet(1)))
    answer[extension.HOST_OFFSET] = 1
    extended_line.answer(bytes(answer))
    assert extended_line.reader.take(0)["echo_host_ns"].tolist() == [-1]


@given(st.binary(min_size=1, max_size=60), st.integers(0, 40))
def test_whatever_the_echo_makes_of_the_extension_nothing_raises(garbage: bytes, at: int) -> None:
    line = Line(extend=True)
    line.connect()
    question = bytearray(asked(line, rtp_packet(1)))
    question[at : at + len(garbage)] = garbage
    line.answer(bytes(question))
    line.close()


def test_marks_that_are_kept_are_no_mismatch(line: Line) -> None:
    mark(line.asterisk, 46)
    mark(line.echo, 46)
    line.answer(asked(line, rtp_packet(1)))
    assert (line.count(Word.SOURCE_DSCP_MISMATCH), line.count(Word.DSCP_CHANGED)) == (0, 0)


def test_packets_with_another_dscp_are_counted_by_side(line: Line) -> None:
    mark(line.asterisk, 46)
    mark(line.echo, 0)
    line.answer(asked(line, rtp_packet(1)))
    mark(line.asterisk, 10)
    asked(line, rtp_packet(2))
    assert (line.count(Word.SOURCE_DSCP_MISMATCH), line.count(Word.DSCP_CHANGED)) == (1, 1)


def test_congestion_marks_are_no_dscp(line: Line) -> None:
    line.asterisk.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 46 << 2 | 3)
    asked(line, rtp_packet(1))
    assert line.count(Word.SOURCE_DSCP_MISMATCH) == 0


def test_one_in_a_hundred_sends_either_way_is_stamped_by_the_kernel(line: Line) -> None:
    for number in range(400):
        line.answer(asked(line, rtp_packet(number)))
        assert received(line.asterisk) == rtp_packet(number)
    line.forward_from_asterisk()
    line.forward_from_echo()
    assert line.count(Word.DEPARTURES_STAMPED) == 8
    errors = departure_errors([line.reader])
    assert errors.size == 8
    assert (errors >= 0).all()
    assert (errors < 1_000_000_000).all()
    assert departure_errors([line.reader]).size == 0


def test_more_stamps_than_the_ring_holds_leave_the_latest(line: Line) -> None:
    for number in range(100 * (DEPARTURE_ERRORS + 5)):
        asked(line, rtp_packet(number & 0xFFFF))
    assert line.count(Word.DEPARTURES_STAMPED) == DEPARTURE_ERRORS + 5
    assert departure_errors([line.reader]).size == DEPARTURE_ERRORS


def test_a_media_process_after_another_reads_its_own_stamps(line: Line) -> None:
    for number in range(150):
        asked(line, rtp_packet(number))
    line.resume()
    for number in range(150, 250):
        asked(line, rtp_packet(number))
    assert line.count(Word.DEPARTURES_STAMPED) == 3


def test_after_an_echo_that_refused_stamps_belong_to_their_sends_again(line: Line) -> None:
    line.echo.close()
    for number in range(200):
        line.send(rtp_packet(number))
        line.forward_from_echo()
    assert line.count(Word.ECHO_ERROR) > 0
    before = line.count(Word.DEPARTURES_STAMPED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind(line.pair.echo.getpeername())
        line.forward_from_echo()
        for number in range(200, 400):
            line.send(rtp_packet(number))
        assert line.count(Word.DEPARTURES_STAMPED) == before + 2
        assert (departure_errors([line.reader]) < 1_000_000_000).all()


def test_the_extension_is_laid_out_as_the_row_expects() -> None:
    assert extension.MEASURED.size == struct.calcsize("!IQQ") == 20


@pytest.mark.parametrize("size", [2020, 2021, 2047, MAX_DATAGRAM])
def test_with_the_extension_a_packet_up_to_the_largest_size_comes_back(extended_line: Line, size: int) -> None:
    packet = rtp_packet(1, payload=b"x" * (size - 12))
    extended_line.answer(asked(extended_line, packet))
    assert received(extended_line.asterisk) == packet
    assert extended_line.count(Word.OVERSIZE) == 0


def test_an_answer_beyond_the_largest_size_is_dropped(line: Line) -> None:
    line.answer(rtp_packet(1, payload=b"x" * (MAX_DATAGRAM - 11)))
    assert line.count(Word.OVERSIZE) == 1
