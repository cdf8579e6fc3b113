"""Jitter of a call and of a window: the mean and the maximum of RFC 3550's J over the packets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import Jitter
from row_slot import MS, PACKET_NS, T0, Slot, after

from rtppool_relay.streams.slices import Slice

PACKETS_A_SECOND = 50


@dataclass
class Measured:
    """The call's figures, and those of all its seconds together."""

    call: Slice
    window: Slice


def measure(delays_ns: Sequence[int], collect_each: int = PACKETS_A_SECOND, first_tick: int = 0) -> Measured:
    """Send a packet for each delay of its arrival. The first collection is `first_tick` packets early."""
    slot, window = Slot(), Slice()
    statistics = slot.statistics()
    for number, delay in enumerate(delays_ns):
        slot.row(number, source_delay_ns=delay)
        if (number + first_tick) % collect_each == collect_each - 1:
            for part in statistics.collect(T0 + number * PACKET_NS + 19 * MS).by_second.values():
                window.add(part)
    for part in statistics.collect(after(len(delays_ns))).by_second.values():
        window.add(part)
    return Measured(statistics.total, window)


def recurrence(delays_ns: Sequence[int]) -> list[float]:
    """J in µs after each packet but the first, by the formula of RFC 3550 A.8."""
    jitter, estimates = Jitter(), []
    for number, delay in enumerate(delays_ns):
        jitter.update(T0 + number * PACKET_NS + delay, number * 160)
        estimates.append(jitter.microseconds)
    return estimates[1:]


@pytest.mark.parametrize("late_number", [0, 20, 40, 48, 49])
def test_one_late_packet_a_second_is_the_same_jitter_whatever_its_place_between_two_ticks(late_number: int) -> None:
    delays = [8 * MS if number % 50 == late_number else 0 for number in range(3_000)]
    for figures in vars(measure(delays)).values():
        assert 315 <= figures.source_jitter_us() <= 320
        assert 315 <= figures.jitter_us() <= 320
        assert figures.source_jitter_max_us() == pytest.approx(max(recurrence(delays)), abs=1)


@pytest.mark.parametrize("collect_each", [1, 10, 50, 250])
@pytest.mark.parametrize("first_tick", [0, 7])
def test_the_tick_changes_neither_mean_nor_maximum(collect_each: int, first_tick: int) -> None:
    chance = random.Random(7)
    delays = [round(chance.expovariate(1 / MS)) if chance.random() < 0.3 else 0 for _ in range(1_000)]
    expected = recurrence(delays)
    for figures in vars(measure(delays, collect_each, first_tick)).values():
        assert figures.source_jitter_count == len(expected)
        assert figures.source_jitter_sum_us == pytest.approx(sum(expected))
        assert figures.max_source_jitter_us == pytest.approx(max(expected))


@given(st.lists(st.integers(0, MS), min_size=2, max_size=120), st.integers(1, 60), st.integers(0, 59))
def test_mean_and_maximum_of_any_stream_are_those_of_the_recurrence(
    delays: list[int], collect_each: int, first_tick: int
) -> None:
    expected = recurrence(delays)
    for figures in vars(measure(delays, collect_each, first_tick)).values():
        assert figures.source_jitter_sum_us == pytest.approx(sum(expected), abs=1e-6)
        assert figures.max_source_jitter_us == pytest.approx(max(expected), abs=1e-9)


def test_the_seconds_of_one_collection_have_their_own_jitter() -> None:
    delays = [MS * (number % 2) if number >= 150 else 0 for number in range(300)]
    slot = Slot()
    for number, delay in enumerate(delays):
        slot.row(number, source_delay_ns=delay)
    seconds = slot.statistics().collect(after(300)).by_second
    means = [part.source_jitter_us() or 0 for _, part in sorted(seconds.items()) if part.packets]
    assert means[:3] == [0, 0, 0]
    assert 0 < means[3] < means[4] <= means[5]


def test_a_call_of_one_packet_has_no_jitter() -> None:
    figures = measure([0]).call
    assert (figures.jitter_us(), figures.source_jitter_us()) == (None, None)
    assert (figures.jitter_max_us(), figures.source_jitter_max_us()) == (None, None)
