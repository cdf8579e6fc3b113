"""The packet path over real sockets on loopback, without a media process around it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packet_line import SLOT, Line

from rtppool_core.rtp.header import RtpHeader, build
from rtppool_relay.media.port_sockets import bind_another_echo
from rtppool_relay.media.rows import Word
from rtppool_relay.packets.attach import attach_echo
from rtppool_relay.packets.layout import MAX_SOURCES
from rtppool_relay.packets.packet_path import begin_epoch, from_echo
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_relay.streams.statistics import StreamStatistics
from rtppool_relay.streams.steady_clock import SteadyClock
from rtppool_testing.packets import rtp_packet
from rtppool_testing.sockets import received, udp_socket


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    one.connect()
    yield one
    one.close()


def test_a_packet_goes_to_the_echo_and_its_answer_to_asterisk_unchanged(line: Line) -> None:
    sent = rtp_packet(1)
    line.send(sent)
    assert received(line.echo) == sent
    line.answer(sent)
    assert received(line.asterisk) == sent


def test_ipv6_is_measured_alike() -> None:
    line = Line(host="::1")
    line.connect()
    line.send(rtp_packet(1))
    line.answer(received(line.echo) or b"")
    assert received(line.asterisk) == rtp_packet(1)
    (row,) = line.reader.take(0)
    # Asterisk and the echo of this test leave their packets unmarked; the relay's own mark is EF.
    assert (row["a"] <= row["x"] <= row["r"] <= row["y"], row["tos"], line.count(Word.DSCP_CHANGED)) == (True, 0, 1)
    line.close()


def test_a_row_tells_the_four_times_in_order(line: Line) -> None:
    line.send(rtp_packet(1))
    line.answer(rtp_packet(1))
    (row,) = line.reader.take(0)
    assert row["a"] <= row["x"] <= row["r"] <= row["y"]
    assert (row["ssrc"], row["timestamp"], row["bytes"], int(row["index"]) & 0xFFFF) == (7, 160, 172, 1)


def test_what_is_not_rtp_is_counted_by_reason_and_goes_nowhere(line: Line) -> None:
    for bad in (b"", b"\x80", b"\x00" * 40, b"\x80\xc8" + b"\0" * 30, b"\x8f\x00" + b"\0" * 12):
        line.send(bad)
        line.answer(bad)
    assert received(line.echo) is None
    assert received(line.asterisk) is None
    counts = {word.name: line.count(word) for word in (Word.SHORT, Word.VERSION, Word.RTCP, Word.TRUNCATED)}
    assert counts == {"SHORT": 4, "VERSION": 2, "RTCP": 2, "TRUNCATED": 2}


def test_a_datagram_larger_than_any_rtp_packet_is_dropped_not_cut(line: Line) -> None:
    line.send(rtp_packet(1, payload=b"x" * 3000))
    assert received(line.echo) is None
    assert line.count(Word.OVERSIZE) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_strangers_packets_from_before_the_connect_are_dropped_by_hand(host: str) -> None:
    line = Line(host=host)
    with udp_socket(host) as stranger:
        for number in range(5):
            stranger.sendto(rtp_packet(number), line.address)
        line.asterisk.sendto(rtp_packet(9), line.address)
        line.connect()
    assert received(line.echo) == rtp_packet(9)
    assert received(line.echo) is None
    assert line.count(Word.OFF_SOURCE) == 5
    assert len(line.reader.take(1 << 62)) == 1
    line.close()


def test_strangers_packets_after_the_connect_never_arrive(line: Line) -> None:
    with udp_socket() as stranger:
        stranger.sendto(rtp_packet(1), line.address)
    line.forward_from_asterisk()
    line.forward_from_echo()
    assert line.count(Word.SENT_TO_ECHO) == 0
    assert received(line.echo) is None


def test_an_answer_that_nobody_sent_for_is_dropped(line: Line) -> None:
    line.send(rtp_packet(1))
    line.answer(rtp_packet(2))
    line.answer(rtp_packet(1, ssrc=8))
    assert line.count(Word.UNMATCHED) == 2
    assert received(line.asterisk) is None


def test_an_answer_before_any_packet_is_dropped(line: Line) -> None:
    line.answer(rtp_packet(1, ssrc=0))
    assert line.count(Word.UNMATCHED) == 1


def test_a_second_answer_is_a_duplicate_and_is_not_sent_on(line: Line) -> None:
    line.send(rtp_packet(1))
    line.answer(rtp_packet(1))
    line.answer(rtp_packet(1))
    assert received(line.asterisk) == rtp_packet(1)
    assert received(line.asterisk) is None
    assert line.count(Word.DUPLICATE_ECHO) == 1


def test_a_packet_sent_twice_by_asterisk_is_forwarded_once(line: Line) -> None:
    for _ in range(2):
        line.send(rtp_packet(1))
    assert received(line.echo) == rtp_packet(1)
    assert received(line.echo) is None
    assert line.count(Word.DUPLICATE_SOURCE) == 1


def test_sequence_numbers_wrap_without_a_new_epoch(line: Line) -> None:
    for number in (65534, 65535, 0, 1):
        line.send(rtp_packet(number))
        line.answer(rtp_packet(number))
    rows = line.reader.take(0)
    assert (rows["index"][1:] - rows["index"][:-1]).tolist() == [1, 1, 1]
    assert set(rows["epoch"]) == {1}


def test_overtaken_packets_keep_their_own_rows(line: Line) -> None:
    for number in (1, 3, 2):
        line.send(rtp_packet(number))
    for number in (3, 1, 2):
        line.answer(rtp_packet(number))
    assert len(line.reader.take(0)) == 3
    assert [received(line.asterisk) for _ in range(4)] == [rtp_packet(3), rtp_packet(1), rtp_packet(2), None]


def test_a_new_ssrc_is_a_new_epoch_and_old_answers_still_count(line: Line) -> None:
    line.send(rtp_packet(5, ssrc=7))
    line.send(rtp_packet(900, ssrc=8))
    line.answer(rtp_packet(5, ssrc=7))
    line.answer(rtp_packet(900, ssrc=8))
    assert sorted(line.reader.take(0)["epoch"].tolist()) == [1, 2]
    assert line.count(Word.UNMATCHED) == 0


def test_one_stray_sequence_number_is_dropped_but_two_in_a_row_are_a_jump(line: Line) -> None:
    line.send(rtp_packet(1))
    line.send(rtp_packet(30000))
    line.send(rtp_packet(2))
    assert line.count(Word.BAD_SEQUENCE) == 1
    line.send(rtp_packet(40000))
    line.send(rtp_packet(40001))
    assert line.count(Word.EPOCH) == 2


def test_a_jump_back_onto_known_numbers_with_other_timestamps_is_a_jump_and_no_duplicate(line: Line) -> None:
    for number in range(200, 240):
        line.send(rtp_packet(number))
    assert [received(line.echo) for _ in range(40)] == [rtp_packet(number) for number in range(200, 240)]
    jumped = [
        build(RtpHeader(0, number, 900_000 + number * 160, 7, marker=False), b"x" * 160) for number in range(210, 230)
    ]
    for each in jumped:
        line.send(each)
    assert [received(line.echo) for _ in range(19)] == jumped[1:]
    assert received(line.echo) is None
    assert line.count(Word.BAD_SEQUENCE) == 1
    assert line.count(Word.DUPLICATE_SOURCE) == 0


@pytest.mark.parametrize("timestamp", [900_000, 1_000 * 160 + 8_000, 0x9000_0000])
def test_a_sequence_that_restarts_below_the_streams_first_number_is_a_jump_and_no_duplicate(
    line: Line, timestamp: int
) -> None:
    for number in range(1_000, 1_040):
        line.send(rtp_packet(number))
        assert received(line.echo) == rtp_packet(number)
    restarted = [
        build(RtpHeader(0, number, timestamp + number * 160 & 0xFFFF_FFFF, 7, marker=False), b"x" * 160)
        for number in range(950, 1_030)
    ]
    for each in restarted:
        line.send(each)
    assert [received(line.echo) for _ in range(79)] == restarted[1:]
    for each in restarted[1:]:
        line.answer(each)
    rows = line.reader.take(1 << 62)
    assert rows.size == 40 + 79
    assert int(rows["answered"].sum()) == 79
    assert (line.count(Word.BAD_SEQUENCE), line.count(Word.DUPLICATE_SOURCE), line.count(Word.UNMATCHED)) == (1, 0, 0)


def test_a_packet_that_the_streams_first_one_overtook_is_sent_on(line: Line) -> None:
    for number in (1_000, 998, 1_001, 999, 998):
        line.send(rtp_packet(number))
    assert [received(line.echo) for _ in range(4)] == [rtp_packet(number) for number in (1_000, 998, 1_001, 999)]
    for number in (998, 999, 1_000, 1_001):
        line.answer(rtp_packet(number))
        assert received(line.asterisk) == rtp_packet(number)
    assert (line.count(Word.BAD_SEQUENCE), line.count(Word.DUPLICATE_SOURCE)) == (0, 1)
    statistics = StreamStatistics(RowReader(RowRings(line.memory), SLOT), 8000, 3_000_000, SteadyClock())
    statistics.collect(1 << 62)
    total = statistics.total
    assert (total.packets, total.answered, total.lost, total.source_lost) == (4, 4, 0, 0)
    assert statistics.dropped == {"duplicate_source": 1}


def test_a_media_process_that_starts_again_counts_and_orders_on(line: Line) -> None:
    for number in range(2000):
        line.send(rtp_packet(number))
        assert received(line.echo) == rtp_packet(number)
        if number % 700 == 699:
            line.reader.take(1 << 62)
            line.resume()
    line.send(rtp_packet(1999))
    assert line.count(Word.DUPLICATE_SOURCE) == 1
    assert line.count(Word.SENT_TO_ECHO) == 2000
    assert (line.count(Word.EPOCH), line.reader.overruns) == (1, 0)


def test_a_media_process_goes_on_in_a_stream_whose_first_packet_left_no_row(line: Line) -> None:
    line.send(rtp_packet(5, ssrc=7))
    begin_epoch(line.media, SLOT, 900, 8)
    line.resume()
    line.send(rtp_packet(901, ssrc=8))
    line.answer(rtp_packet(901, ssrc=8))
    assert received(line.asterisk) == rtp_packet(901, ssrc=8)
    assert line.count(Word.EPOCH) == 2


def test_rows_overwritten_before_they_were_read_are_counted(line: Line) -> None:
    line.send(rtp_packet(0))
    line.reader.take(1 << 62)
    for number in range(1, 1501):
        line.send(rtp_packet(number))
        received(line.echo)
    line.reader.take(1 << 62)
    assert line.reader.overruns == 1500 - 1024


def test_an_answer_that_came_in_time_is_sent_on_however_late_we_are(line: Line) -> None:
    line.send(rtp_packet(1))
    line.echo.sendto(rtp_packet(1), line.address)
    line.media.clock_offset_ns[:] = 3_000_000_000
    line.forward_from_echo()
    assert received(line.asterisk) == rtp_packet(1)
    assert line.count(Word.TOO_LATE) == 0


def test_an_answer_after_two_seconds_is_too_late_and_not_sent_on(line: Line) -> None:
    line.media.clock_offset_ns[:] = -2_100_000_000
    line.send(rtp_packet(1))
    line.media.clock_offset_ns[:] = 0
    line.answer(rtp_packet(1))
    assert received(line.asterisk) is None
    assert line.count(Word.TOO_LATE) == 1


@pytest.mark.parametrize("step_seconds", [3600, -3600, 5, -5])
def test_a_step_of_the_wall_clock_costs_no_packet(line: Line, step_seconds: int) -> None:
    line.send(rtp_packet(1))
    line.media.clock_offset_ns[0] = step_seconds * 1_000_000_000
    line.answer(rtp_packet(1))
    line.media.clock_offset_ns[0] = 0
    line.send(rtp_packet(2))
    line.answer(rtp_packet(2))
    assert (received(line.asterisk), received(line.asterisk)) == (rtp_packet(1), rtp_packet(2))
    assert line.count(Word.TOO_LATE) == 0


def test_a_step_of_the_wall_clock_makes_no_late_answer_timely(line: Line) -> None:
    line.media.clock_offset_ns[:] = (3_600_000_000_000, -2_100_000_000)
    line.send(rtp_packet(1))
    line.media.clock_offset_ns[:] = 0
    line.answer(rtp_packet(1))
    assert received(line.asterisk) is None
    assert line.count(Word.TOO_LATE) == 1


def test_a_media_process_that_starts_again_after_a_step_back_goes_on_counting(line: Line) -> None:
    line.media.clock_offset_ns[0] = 3_600_000_000_000
    line.send(rtp_packet(1))
    line.media.clock_offset_ns[0] = 0
    line.send(rtp_packet(2))
    line.resume()
    line.send(rtp_packet(3))
    assert line.count(Word.SENT_TO_ECHO) == 3


def test_a_media_process_that_starts_again_matches_what_was_under_way(line: Line) -> None:
    line.send(rtp_packet(1))
    line.resume()
    line.answer(rtp_packet(1))
    line.send(rtp_packet(2))
    assert received(line.asterisk) == rtp_packet(1)
    assert set(line.reader.take(1 << 62)["epoch"]) == {1}


def test_answers_to_all_sources_under_way_count(line: Line) -> None:
    for sequence, ssrc in ((5, 7), (900, 8), (70, 9)):
        line.send(rtp_packet(sequence, ssrc=ssrc))
    line.answer(rtp_packet(5, ssrc=7))
    line.answer(rtp_packet(900, ssrc=8))
    line.answer(rtp_packet(70, ssrc=9))
    assert (len(line.reader.take(0)), line.count(Word.UNMATCHED)) == (3, 0)


def test_a_marker_on_a_dynamic_payload_type_is_no_rtcp(line: Line) -> None:
    event = b"\x80" + bytes([0x80 | 101]) + rtp_packet(1)[2:]
    line.send(event)
    line.answer(event)
    assert received(line.asterisk) == event
    (row,) = line.reader.take(0)
    assert (row["payload_type"], row["marker"]) == (101, 1)


def test_a_gap_in_the_sequence_leaves_its_rows_out_and_goes_on(line: Line) -> None:
    for number in (1, 2, 5, 6):
        line.send(rtp_packet(number))
        line.answer(rtp_packet(number))
    assert [int(index) & 0xFFFF for index in line.reader.take(0)["index"]] == [1, 2, 5, 6]


def test_an_echo_that_refuses_is_counted_and_stops_nothing(line: Line) -> None:
    line.echo.close()
    for number in range(4):
        line.send(rtp_packet(number))
        line.forward_from_echo()
    assert line.count(Word.ECHO_ERROR) > 0
    assert line.count(Word.SENT_TO_ECHO) == 4


def test_after_a_switch_packets_go_to_the_new_echo_and_the_old_ones_answers_count(line: Line) -> None:
    with udp_socket() as newcomer:
        line.send(rtp_packet(1))
        another = bind_another_echo(line.pair, "127.0.0.1", 46)
        another.connect(newcomer.getsockname())
        attach_echo(line.media, SLOT, another)
        line.send(rtp_packet(2))
        assert received(newcomer) == rtp_packet(2)
        line.echo.sendto(rtp_packet(1), line.address)
        newcomer.sendto(rtp_packet(2), line.address)
        line.forward_from_echo()
        from_echo(line.media, another.fileno())
        assert [received(line.asterisk), received(line.asterisk)] == [rtp_packet(1), rtp_packet(2)]
        another.close()


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_no_bytes_from_either_peer_raise(line: Line, data: bytes) -> None:
    line.send(data)
    line.answer(data)


def test_ten_thousand_mutated_packets_raise_nothing_and_only_rtp_is_forwarded(line: Line) -> None:
    chance = random.Random(1)
    for number in range(10_000):
        mutated = bytearray(rtp_packet(number & 0xFFFF))
        for _ in range(chance.randrange(4)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        cut = bytes(mutated[: chance.randrange(1, len(mutated) + 1)]) if chance.random() < 0.3 else bytes(mutated)
        line.send(cut)
        forwarded = received(line.echo)
        if forwarded is not None:
            assert len(forwarded) >= 12
            assert forwarded[0] >> 6 == 2
            line.answer(forwarded if chance.random() < 0.9 else os.urandom(20))
            received(line.asterisk)


def in_turns(packets: int, first_a: int, first_b: int) -> list[bytes]:
    """Packets of two sources in turns."""
    pairs = [(rtp_packet(first_a + at, ssrc=7), rtp_packet(first_b + at, ssrc=8)) for at in range(packets)]
    return [packet for pair in pairs for packet in pair]


def forward_with_delay(line: Line, packets: list[bytes], under_way: int) -> int:
    """Answer each packet when `under_way` later ones have left; return the number of answers that Asterisk got."""
    waiting: list[bytes] = []
    back = 0
    for packet in [*packets, *[None] * under_way]:
        if packet is not None:
            line.send(packet)
            waiting.append(received(line.echo) or b"")
        if len(waiting) > under_way or packet is None:
            line.answer(waiting.pop(0))
            back += received(line.asterisk) is not None
    return back


@pytest.mark.parametrize("firsts", [(100, 9000), (1, 1), (65_500, 65_510), (0, 1024), (5, 40)])
@pytest.mark.parametrize("under_way", [4, 40, 90])
def test_two_sources_in_turns_over_a_slow_echo_lose_nothing(
    line: Line, firsts: tuple[int, int], under_way: int
) -> None:
    packets = in_turns(75, *firsts)
    assert forward_with_delay(line, packets, under_way) == 150
    assert line.count(Word.UNMATCHED) == 0
    rows = line.reader.take(1 << 62)
    assert (len(rows), set(rows["epoch"].tolist())) == (150, {1, 2})


def test_as_many_sources_as_are_kept_lose_nothing_in_turns(line: Line) -> None:
    packets = [rtp_packet(at, ssrc=ssrc) for at in range(20) for ssrc in range(10, 10 + MAX_SOURCES)]
    assert forward_with_delay(line, packets, 60) == len(packets)


def test_with_more_sources_than_are_kept_the_answers_to_the_oldest_ones_are_unmatched(line: Line) -> None:
    packets = [rtp_packet(1, ssrc=ssrc) for ssrc in range(10, 10 + MAX_SOURCES + 3)]
    assert forward_with_delay(line, packets, len(packets)) == MAX_SOURCES
    assert line.count(Word.UNMATCHED) == 3


def test_a_source_that_returns_within_two_seconds_goes_on_in_its_epoch(line: Line) -> None:
    for packet in (rtp_packet(1, ssrc=7), rtp_packet(9, ssrc=8), rtp_packet(2, ssrc=7)):
        line.send(packet)
    rows = line.reader.take(1 << 62)
    assert sorted(zip(rows["ssrc"].tolist(), rows["epoch"].tolist(), strict=True)) == [(7, 1), (7, 1), (8, 2)]
    assert int(rows["index"][rows["ssrc"] == 7][1]) - int(rows["index"][rows["ssrc"] == 7][0]) == 1


def test_a_source_that_returns_later_is_a_new_stream(line: Line) -> None:
    line.send(rtp_packet(1, ssrc=7))
    line.send(rtp_packet(9, ssrc=8))
    line.media.clock_offset_ns[1] = 3_000_000_000
    line.send(rtp_packet(2, ssrc=7))
    assert set(line.reader.take(1 << 62)["epoch"].tolist()) == {1, 2, 3}


def test_a_jump_of_the_sequence_loses_no_answer_under_way(line: Line) -> None:
    packets = [rtp_packet(number) for number in (*range(200, 240), *range(30_000, 30_040))]
    # The first packet after the jump is dropped: only the second one confirms it.
    assert forward_with_delay(line, packets, 20) == 79


def test_a_media_process_goes_on_with_a_source_that_returned(line: Line) -> None:
    for packet in (rtp_packet(1, ssrc=7), rtp_packet(1, ssrc=8), rtp_packet(2, ssrc=7)):
        line.send(packet)
        received(line.echo)
    line.resume()
    line.send(rtp_packet(3, ssrc=7))
    line.answer(rtp_packet(3, ssrc=7))
    assert received(line.asterisk) == rtp_packet(3, ssrc=7)
    rows = line.reader.take(1 << 62)
    assert sorted(zip(rows["ssrc"].tolist(), rows["epoch"].tolist(), strict=True)) == [(7, 1), (7, 1), (7, 1), (8, 2)]
