"""Packet time: measured at the start, and followed when the source changes it in mid-call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_slot import Slot, after

from rtppool_core.statistics.bursts import BurstCounts, BurstTracker
from rtppool_relay.streams.packet_time import MIN_CHANGED, PacketTime
from rtppool_relay.streams.statistics import StreamStatistics

MS = 1_000_000


def followed(*runs: tuple[int, int], at_once: int = 1_000) -> list[tuple[int, int]]:
    """Follow runs of (packets, ms), some packets at once. Return the changes, in ms."""
    steps = [ms * 8 for packets, ms in runs for _ in range(packets)]
    time, changes = PacketTime(8000), []
    for first in range(0, len(steps), at_once):
        part = steps[first : first + at_once]
        changes += time.follow(range(first, first + len(part)), part)
    return [(index, packet_ns // MS) for index, packet_ns in changes]


@pytest.mark.parametrize("at_once", [1, 3, 50, 1_000])
def test_a_change_counts_from_its_first_packet_however_few_packets_come_at_once(at_once: int) -> None:
    assert followed((100, 20), (100, 40), (100, 20), at_once=at_once) == [(0, 20), (100, 40), (200, 20)]


@pytest.mark.parametrize(
    "odd",
    [(MIN_CHANGED - 1, 40), (1, 160), (3, 0), (1, -20), (100, 201)],
    ids=["few", "silence", "event", "old", "long"],
)
def test_other_steps_are_no_change(odd: tuple[int, int]) -> None:
    assert followed((100, 20), odd, (100, 20)) == [(0, 20)]


def test_packets_that_come_late_change_nothing() -> None:
    time = PacketTime(8000)
    time.follow(range(100), [160] * 100)
    time.follow(range(100, 150), [320] * 50)
    assert time.follow(range(50, 90), [160] * 40) == []
    assert time.ns == 40 * MS


@given(st.lists(st.sampled_from((10, 20, 30, 40, 60)), min_size=1, max_size=14), st.data())
def test_bursts_and_gaps_last_as_long_as_their_packets_media(times_ms: list[int], data: st.DataObject) -> None:
    media = [ms * MS for ms in times_ms for _ in range(40)]
    lost = data.draw(st.sets(st.integers(0, len(media) - 1)))
    tracker, counts = BurstTracker(1_000, media[0]), BurstCounts()
    for at in range(len(media)):
        if at % 40 == 0 and at:
            tracker.change_packet_time(1_000 + at, media[at])
        if at in lost:
            counts.add(tracker.lost(1_000 + at, 1_000 + at))
    counts.add(tracker.end(999 + len(media)))
    assert counts.burst_packets + counts.gap_packets == len(media)
    assert counts.burst_ns + counts.gap_ns == sum(media)


def call(change: int, second_ms: int, lost: range, packets: int = 1_000) -> StreamStatistics:
    """Measure a call of 20 ms packets that carry another time from `change` on, with lost answers."""
    slot = Slot()
    statistics = slot.statistics()
    timestamp = moment = 0
    for number in range(packets):
        # The slot's packets are 20 ms apart.
        delay = (moment - number * 20) * MS
        slot.row(number, timestamp=timestamp, source_delay_ns=delay, round_trip_ns=None if number in lost else MS)
        ms = 20 if number < change else second_ms
        timestamp, moment = timestamp + ms * 8, moment + ms
        if number % 50 == 49:
            statistics.collect(after(number, 0.1) + delay)
    statistics.finish(after(packets, 10) + packets * second_ms * MS)
    return statistics


def test_a_burst_after_a_change_from_20_to_40_ms_lasts_40_ms_a_packet() -> None:
    bursts = call(500, 40, range(700, 710)).total.bursts
    assert (bursts.bursts, bursts.burst_packets, bursts.mean_burst_ns()) == (1, 10, 400 * MS)
    assert bursts.gap_ns == (500 * 20 + 200 * 40 + 290 * 40) * MS


def test_a_burst_before_the_change_keeps_its_20_ms() -> None:
    bursts = call(500, 40, range(480, 490)).total.bursts
    assert (bursts.burst_packets, bursts.mean_burst_ns()) == (10, 200 * MS)
    assert bursts.gap_ns == (490 * 20 + 500 * 40) * MS


@pytest.mark.parametrize("second_ms", [10, 30, 60])
def test_the_packet_time_is_the_latest(second_ms: int) -> None:
    statistics = call(500, second_ms, range(0))
    assert statistics.packet_ns == second_ms * MS
    assert statistics.total.late_source == 0
