"""Steps of the talker's timeline: a marker whose timestamp does not follow, and a level that holds for a second."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_slot import MS, PACKET_NS, SECOND, T0, Slot, after

from rtppool_relay.streams.statistics import StreamStatistics

PACKETS = 1_800
CHANGE = 700
SECOND_OF_PACKETS = 50


@dataclass(frozen=True)
class Packet:
    """A packet's arrival and timestamp in ms since the stream began."""

    arrival_ms: float
    timestamp_ms: float
    marker: bool = False


def steady(packets: int = PACKETS) -> list[Packet]:
    return [Packet(20 * number, 20 * number) for number in range(packets)]


def step(ms: float, marker: bool, change: int = CHANGE) -> list[Packet]:
    """All packets from `change` on come later than their timestamps by `ms`."""
    return [
        Packet(20 * number, 20 * number - (ms if number >= change else 0), marker and number == change)
        for number in range(PACKETS)
    ]


def pause(ms: float, marker: bool) -> list[Packet]:
    """The talker is silent for `ms`, and the timestamps stand still meanwhile."""
    return [
        Packet(20 * number + (ms if number >= CHANGE else 0), 20 * number, marker and number == CHANGE)
        for number in range(PACKETS)
    ]


def concealed_digits(digits: int) -> list[Packet]:
    """Return what Asterisk's Opus decoder makes of digits (recorded): 200 ms without audio, then 24 packets at once."""
    packets, timestamp = steady(CHANGE), 20 * CHANGE
    for digit in range(digits):
        begin = 20 * CHANGE + 400 * digit
        packets += [Packet(begin + 180, timestamp + 180 + 20 * number) for number in range(24)]
        timestamp += 180 + 20 * 24
        packets += [Packet(begin + 200 + 20 * number, timestamp + 20 * number) for number in range(10)]
        timestamp += 20 * 10
    begin = 20 * CHANGE + 400 * digits
    return [*packets, *(Packet(begin + 20 * number, timestamp + 20 * number) for number in range(500))]


def measure(packets: Iterable[Packet], collect_each: int = SECOND_OF_PACKETS, jitter_ms: float = 0) -> StreamStatistics:
    slot, chance = Slot(), random.Random(5)
    statistics = slot.statistics()
    number = 0
    for number, packet in enumerate(packets):
        delay = (packet.arrival_ms - 20 * number + chance.uniform(0, jitter_ms)) * MS
        timestamp, marker = round(packet.timestamp_ms * 8) & 0xFFFFFFFF, int(packet.marker)
        slot.row(number, source_delay_ns=round(delay), timestamp=timestamp, marker=marker)
        if number % collect_each == collect_each - 1:
            statistics.collect(T0 + number * PACKET_NS + round(delay) + 6 * MS)
    statistics.collect(after(number))
    return statistics


@pytest.mark.parametrize("ms", [-499, -200, -40, 4, 40, 60, 95, 120, 200, 300, 499, 501, 5_000])
def test_a_marker_whose_timestamp_does_not_follow_makes_nothing_late(ms: float) -> None:
    statistics = measure(step(ms, marker=True))
    assert statistics.total.late_source == 0
    assert (statistics.total.source_variation.max_ns or 0) < MS
    assert statistics.total.source_jitter_us() == 0
    assert abs(statistics.skew_ppm or 0) < 1


@pytest.mark.parametrize("ms", [25, 40, 60, 80, 95, 120, 300, 499])
def test_a_pause_of_any_length_that_ends_with_a_marker_makes_nothing_late(ms: float) -> None:
    assert measure(pause(ms, marker=True)).total.late_source == 0


@pytest.mark.parametrize("collect_each", [5, 50, 250])
def test_frames_that_conceal_digits_in_one_burst_make_nothing_late(collect_each: int) -> None:
    statistics = measure(concealed_digits(5), collect_each)
    assert (statistics.total.late_source, statistics.total.late_echo, statistics.total.late_relay) == (0, 0, 0)
    assert statistics.total.source_variation.max_ns < 200 * MS
    assert statistics.skew_ppm is None or abs(statistics.skew_ppm) < 50


@pytest.mark.parametrize("ms", [-499, -200, -40, 40, 120, 499])
@pytest.mark.parametrize("change", [60, 700, 717])
@pytest.mark.parametrize("collect_each", [10, 50, 65])
def test_a_level_that_holds_for_a_second_is_the_new_baseline(ms: float, change: int, collect_each: int) -> None:
    statistics = measure(step(ms, marker=False, change=change), collect_each)
    assert statistics.total.late_source <= SECOND_OF_PACKETS
    assert abs(statistics.skew_ppm or 0) < 5


@pytest.mark.parametrize("ms", [60, 120, 300, 499])
def test_a_pause_whose_marker_was_lost_makes_packets_late_for_a_second_at_most(ms: float) -> None:
    assert measure(pause(ms, marker=False)).total.late_source <= SECOND_OF_PACKETS


@pytest.mark.parametrize("ms", [-200, 120])
def test_a_level_is_found_in_one_large_batch_too(ms: float) -> None:
    slot = Slot()
    packets = step(ms, marker=False, change=400)[:1_000]
    for number, packet in enumerate(packets):
        slot.row(number, timestamp=round(packet.timestamp_ms * 8) & 0xFFFFFFFF)
    statistics = slot.statistics()
    statistics.collect(after(1_000))
    assert statistics.total.late_source <= SECOND_OF_PACKETS


@pytest.mark.parametrize("ms", [-200, 200])
def test_a_level_is_found_under_a_jitter_of_its_own(ms: float) -> None:
    still = measure(steady(), jitter_ms=30).total.late_source
    moved = measure(step(ms, marker=False), jitter_ms=30).total.late_source
    assert moved <= still + 2 * SECOND_OF_PACKETS


def test_packets_that_are_late_by_different_times_stay_late() -> None:
    """A queue that grows for two seconds is no level."""
    late = [
        Packet(20 * number + (max(0, min(number - CHANGE, 100)) * 4 if number < CHANGE + 100 else 0), 20 * number)
        for number in range(PACKETS)
    ]
    assert measure(late).total.late_source >= 90


def test_some_late_packets_in_each_second_stay_late() -> None:
    late = [Packet(20 * number + (60 if number % 10 == 9 else 0), 20 * number) for number in range(PACKETS)]
    assert measure(late).total.late_source == PACKETS // 10


def test_a_peer_that_sets_every_marker_has_no_talkspurts() -> None:
    late = [
        Packet(20 * number + (60 if number % 10 == 9 else 0), 20 * number, marker=True) for number in range(PACKETS)
    ]
    statistics = measure(late)
    assert statistics.total.late_source == PACKETS // 10
    assert (statistics.total.source_jitter_us() or 0) > 1_000


def test_a_level_that_goes_back_after_three_seconds_makes_packets_late_for_a_second_each_time() -> None:
    there_and_back = [
        Packet(20 * number, 20 * number - (150 if CHANGE <= number < CHANGE + 150 else 0)) for number in range(PACKETS)
    ]
    assert measure(there_and_back).total.late_source <= 2 * SECOND_OF_PACKETS


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(150, 400), st.integers(-480, 480)), max_size=5),
    st.integers(5, 70),
)
def test_each_step_makes_packets_late_for_a_second_at_most(steps: list[tuple[int, int]], collect_each: int) -> None:
    packets: list[Packet] = []
    moved = 0
    for count, ms in steps:
        packets += [Packet(20 * number, 20 * number - moved) for number in range(len(packets), len(packets) + count)]
        moved += ms
    packets += [Packet(20 * number, 20 * number - moved) for number in range(len(packets), len(packets) + 200)]
    assert measure(packets, collect_each).total.late_source <= len(steps) * SECOND_OF_PACKETS


def local(ppm: int) -> Callable[[int], int]:
    """The wall clock of a machine that slews it from 15 s to 25 s."""
    begin, end = T0 + 15 * SECOND, T0 + 25 * SECOND
    return lambda raw_ns: raw_ns + (min(max(raw_ns, begin), end) - begin) * ppm // 1_000_000


@pytest.mark.parametrize("ppm", [500, -500, 10_000, -10_000, 83_333, -83_333])
@pytest.mark.parametrize("follows_wall", [False, True])
def test_a_slew_makes_nothing_late_whichever_clock_the_talker_follows(ppm: int, follows_wall: bool) -> None:
    """Timestamps of a talker on this machine follow the slewed clock, those of a phone do not."""
    slot = Slot(local(ppm))
    statistics = slot.statistics()
    clock = statistics.clock
    for number in range(2_500):
        sent_ns = T0 + number * PACKET_NS
        media_ns = (slot.wall(sent_ns) if follows_wall else sent_ns) - T0
        if number % 5 == 0:
            clock.compare(slot.reading(sent_ns))
        slot.row(number, timestamp=media_ns * 8 // MS & 0xFFFFFFFF)
        if number % SECOND_OF_PACKETS == SECOND_OF_PACKETS - 1:
            now_ns = sent_ns + 10 * MS
            clock.compare(slot.reading(now_ns))
            statistics.collect(clock.steady_ns(now_ns))
    total = statistics.total
    assert (total.late_source, total.late_relay, total.late_echo) == (0, 0, 0)
    assert total.answered == 2_500
    assert (clock.slews, clock.steps) == (1, 0)
    assert abs(statistics.skew_ppm or 0) < 2
