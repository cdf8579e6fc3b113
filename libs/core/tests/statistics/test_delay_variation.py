from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.statistics.delay_variation import pdv_p999_ns
from rtppool_core.statistics.histogram import MAX_NS, MIN_NS, Histogram


def test_without_any_delay_there_is_no_variation() -> None:
    assert pdv_p999_ns(Histogram()) is None


@given(st.lists(st.integers(MIN_NS, MAX_NS) | st.integers(10**6, 2 * 10**6), min_size=1, max_size=1500))
def test_the_single_number_is_the_sorted_99_9th_percentile_less_the_minimum(delays: list[int]) -> None:
    histogram = Histogram()
    for delay in delays:
        histogram.record(delay)
    exact = sorted(delays)[-(-999 * len(delays) // 1000) - 1]
    found = pdv_p999_ns(histogram)
    assert found is not None
    assert abs(found - (exact - min(delays))) <= 0.016 * exact
