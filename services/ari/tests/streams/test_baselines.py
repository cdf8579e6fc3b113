"""Where the baselines flip, and for how long a step counts as late."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from row_slot import MS, Slot, after

from rtppool_relay.streams.slices import Slice

PACKETS = 3_000
A_SECOND = 50


def call(round_trip_ms: Callable[[int], float] = lambda _: 5, source_ms: Callable[[int], float] = lambda _: 0) -> Slice:
    slot = Slot()
    statistics = slot.statistics()
    for number in range(PACKETS):
        times = {"round_trip_ns": round_trip_ms(number), "source_delay_ns": source_ms(number)}
        slot.row(number, **{name: round(ms * MS) for name, ms in times.items()})
        if number % A_SECOND == A_SECOND - 1:
            statistics.collect(after(number, 0.3))
    return statistics.total


@pytest.mark.parametrize("per_cent", [4, 6, 20, 45])
def test_packets_on_a_faster_path_make_no_other_late_while_they_are_less_than_half(per_cent: int) -> None:
    """The hundred packets of two seconds always have the same share, so any 30 s have it too."""
    assert call(lambda number: 1 if number * 37 % 100 < per_cent else 5).late_echo == 0


@pytest.mark.parametrize("per_cent", [55, 60, 94])
def test_where_most_packets_take_the_faster_path_the_others_are_late(per_cent: int) -> None:
    others = sum(number * 37 % 100 >= per_cent for number in range(PACKETS))
    assert call(lambda number: 1 if number * 37 % 100 < per_cent else 5).late_echo == pytest.approx(others, abs=5)


def test_of_a_uniform_round_trip_that_is_late_which_lies_3_ms_above_its_middle() -> None:
    chance = random.Random(3)
    late = call(lambda _: chance.uniform(1, 20)).late_echo
    assert late / PACKETS == pytest.approx((20 - 13.5) / 19, abs=0.03)


@pytest.mark.parametrize("step_ms", [4, 10, 100])
def test_a_longer_round_trip_is_late_for_15_s(step_ms: int) -> None:
    total = call(lambda number: 5 if number < 1_500 else 5 + step_ms)
    assert total.late_echo / A_SECOND == pytest.approx(15, abs=1)


def test_a_shorter_round_trip_is_never_late() -> None:
    assert call(lambda number: 15 if number < 1_500 else 5).late_echo == 0


@pytest.mark.parametrize(("per_cent", "late_share"), [(3, 0), (6, 0.94), (30, 0.7)])
def test_the_sources_baseline_is_that_of_its_earliest_packets_from_5_per_cent_on(
    per_cent: int, late_share: float
) -> None:
    """The early packets are 3.5 ms before the others."""
    late = call(source_ms=lambda number: 3.5 if number * 37 % 100 >= per_cent else 0).late_source
    assert late / PACKETS == pytest.approx(late_share, abs=0.01)


@pytest.mark.parametrize(("burst", "late"), [(10, 0), (30, 0)])
def test_a_source_that_sends_in_small_bursts_is_not_late(burst: int, late: int) -> None:
    """Each packet but the first of a burst waits less; the baseline is not the shortest of them."""
    assert call(source_ms=lambda number: 2.9 * (number % burst) / burst).late_source == late
