from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.statistics.delay_variation import inter_packet_delay_variation, packet_delay_variation, pdv_p999_ns
from rtppool_core.statistics.histogram import MAX_NS, MIN_NS, Histogram

# Section 5.2: one burst, as a queue that drains behind five packets.
QUEUE_DRAINS = [20, 105, 85, 65, 45, 25, 20]
DELAYS = st.lists(st.none() | st.integers(0, 10**9), max_size=60)


def test_published_vector_4_4() -> None:
    delays = [20, 10, 20, 25, 20]
    assert inter_packet_delay_variation(delays) == [None, -10, 10, 5, -5]
    assert packet_delay_variation(delays) == [10, 0, 10, 15, 10]


def test_published_vector_5_2() -> None:
    assert packet_delay_variation(QUEUE_DRAINS)[1:-1] == [85, 65, 45, 25, 5]
    assert inter_packet_delay_variation(QUEUE_DRAINS)[1:] == [85, -20, -20, -20, -20, -5]


def test_a_lost_packet_has_no_variation_and_takes_its_successors_ipdv_with_it() -> None:
    assert inter_packet_delay_variation([20, None, 30, 31]) == [None, None, None, 1]
    assert packet_delay_variation([20, None, 30, 31]) == [0, None, 10, 11]


def test_without_any_delay_there_is_nothing_to_vary() -> None:
    assert packet_delay_variation([None, None]) == [None, None]
    assert pdv_p999_ns(Histogram()) is None


@given(DELAYS)
def test_pdv_is_never_negative_and_zero_for_the_fastest(delays: list[int | None]) -> None:
    found = [variation for variation in packet_delay_variation(delays) if variation is not None]
    assert len(found) == sum(delay is not None for delay in delays)
    assert min(found, default=0) == 0


@given(DELAYS)
def test_ipdv_is_the_step_of_pdv(delays: list[int | None]) -> None:
    steps = [None if a is None or b is None else b - a for a, b in pairwise(packet_delay_variation(delays))]
    assert inter_packet_delay_variation(delays)[1:] == steps


@given(st.lists(st.integers(MIN_NS, MAX_NS) | st.integers(10**6, 2 * 10**6), min_size=1, max_size=1500))
def test_the_single_number_is_the_sorted_99_9th_percentile_less_the_minimum(delays: list[int]) -> None:
    histogram = Histogram()
    for delay in delays:
        histogram.record(delay)
    exact = sorted(delays)[-(-999 * len(delays) // 1000) - 1]
    found = pdv_p999_ns(histogram)
    assert found is not None
    assert abs(found - (exact - min(delays))) <= 0.016 * exact
