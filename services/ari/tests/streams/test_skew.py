"""The skew of a source's clock: what is published, the clamp, and the first ten seconds."""

from __future__ import annotations

import random

import pytest
from row_slot import MS, PACKET_NS, Slot, after

from rtppool_relay.streams.skew import SkewEstimate
from rtppool_relay.streams.statistics import StreamStatistics

SECOND_OF_PACKETS = 50
SKEWS = [50, -50, 200, -200, 400, -400, 500, -500]


def call(ppm: float, seconds: int, collect_each: int = SECOND_OF_PACKETS, jitter_us: int = 0) -> StreamStatistics:
    """Measure a call whose source's clock is slower than ours by so much."""
    slot, chance = Slot(), random.Random(11)
    statistics = slot.statistics()
    for number in range(seconds * SECOND_OF_PACKETS):
        drift = round(number * PACKET_NS * ppm / 1e6) + chance.randint(0, jitter_us) * 1_000
        slot.row(number, source_delay_ns=drift)
        if number % collect_each == collect_each - 1:
            statistics.collect(after(number, 0.1))
    return statistics


@pytest.mark.parametrize("ppm", SKEWS)
def test_a_skew_within_the_clamp_is_published_as_it_is(ppm: int) -> None:
    total = call(ppm, 30).total
    assert abs((total.skew_ppm() or 0) - ppm) <= 2
    assert total.is_skew_clamped() is False


@pytest.mark.parametrize("ppm", [520, -520, 700, -1000])
def test_a_skew_beyond_the_clamp_is_marked(ppm: int) -> None:
    # The last arrivals of two collections are at least a second apart, as those of a relay are.
    total = call(ppm, 30, collect_each=SECOND_OF_PACKETS + 1).total
    assert (total.skew_ppm(), total.is_skew_clamped()) == (500 if ppm > 0 else -500, True)


def test_a_source_that_returns_to_the_clamp_is_no_longer_marked() -> None:
    skew = SkewEstimate()
    level, marks = 0, []
    for second in range(150):
        level += 700_000 if second < 30 else 100_000
        skew.add(second * 1_000 * MS, level)
        marks.append(skew.clamped)
    assert marks[29] is True
    assert (skew.clamped, round(skew.ppm or 0)) == (False, 100)


def test_a_call_shorter_than_ten_seconds_has_no_skew() -> None:
    total = call(200, 9).total
    assert (total.skew_ppm(), total.is_skew_clamped()) == (None, None)


@pytest.mark.parametrize("ppm", SKEWS)
@pytest.mark.parametrize("collect_each", [10, SECOND_OF_PACKETS])
def test_drift_before_the_first_estimate_is_neither_late_nor_variation(ppm: int, collect_each: int) -> None:
    total = call(ppm, 10, collect_each).total
    assert (total.answered, total.late_source, total.late_judged) == (500, 0, 0)
    # The drift of the first 1.5 s, which show no slope yet.
    assert (total.source_variation.max_ns or 0) <= abs(ppm) * 1_510


def test_a_packet_that_is_late_in_the_first_seconds_is_late_under_any_drift() -> None:
    for ppm in (0, 500, -500):
        slot = Slot()
        statistics = slot.statistics()
        for number in range(400):
            late = 9 * MS if number % 50 == 25 else 0
            slot.row(number, source_delay_ns=round(number * PACKET_NS * ppm / 1e6) + late)
            if number % 50 == 49:
                statistics.collect(after(number, 0.1))
        assert statistics.total.late_source == 8


@pytest.mark.parametrize("jitter_us", [1_000, 5_000])
def test_jitter_hides_no_skew(jitter_us: int) -> None:
    assert abs((call(200, 60, jitter_us=jitter_us).total.skew_ppm() or 0) - 200) <= 60
