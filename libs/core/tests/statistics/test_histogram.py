from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.report import HistogramExport, export_histogram, import_histogram
from rtppool_core.statistics.histogram import BUCKETS, MAX_NS, MIN_NS, SCHEME, Histogram, bounds_ns, bucket_of

MEASURABLE = st.integers(MIN_NS, MAX_NS) | st.integers(100_000, 50_000_000)
ANYTHING = st.integers(0, 1 << 40)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(MEASURABLE, min_size=1, max_size=300), st.integers(1, 1000))
def test_a_quantile_is_within_1_6_percent_of_the_nearest_rank_of_the_sorted_samples(
    values: list[int], per_mille: int
) -> None:
    exact = sorted(values)[-(-per_mille * len(values) // 1000) - 1]
    measured = filled(values).quantile_ns(per_mille)
    assert measured is not None
    assert abs(measured - exact) <= 0.016 * exact


@given(st.lists(ANYTHING, min_size=1))
def test_the_extremes_are_kept_exactly(values: list[int]) -> None:
    histogram = filled(values)
    assert (histogram.min_ns, histogram.max_ns, histogram.count) == (min(values), max(values), len(values))
    assert histogram.quantile_ns(1000) == max(values)


@given(ANYTHING)
def test_every_value_has_a_bucket_and_lies_inside_it(value: int) -> None:
    bucket = bucket_of(value)
    lower, upper = bounds_ns(bucket)
    assert 0 <= bucket < BUCKETS
    assert lower <= min(value, MAX_NS) < upper


def test_buckets_join_without_gap_from_zero_to_the_highest() -> None:
    edges = [bounds_ns(bucket) for bucket in range(BUCKETS)]
    assert edges[0][0] == 0
    assert all(left[1] == right[0] for left, right in pairwise(edges))
    assert edges[-1][1] == MAX_NS + 1
    assert all((upper - lower) / lower <= 0.016 for lower, upper in edges[1:])
    assert MIN_NS < 1_100
    assert MAX_NS > 60_000_000_000


@given(st.lists(ANYTHING), st.lists(ANYTHING))
def test_merging_is_the_same_as_recording_all_in_one(left: list[int], right: list[int]) -> None:
    merged = filled(left)
    merged.merge(filled(right))
    assert merged == filled(left + right)


@given(st.lists(st.lists(ANYTHING), max_size=8))
def test_shards_merged_are_the_whole_count_by_count(shards: list[list[int]]) -> None:
    merged = Histogram()
    for shard in shards:
        merged.merge(filled(shard))
    whole = filled([value for shard in shards for value in shard])
    assert (merged.counts, merged.min_ns, merged.max_ns) == (whole.counts, whole.min_ns, whole.max_ns)


def test_nothing_recorded_is_no_figure() -> None:
    assert Histogram().quantile_ns(500) is None
    assert export_histogram(Histogram()) is None


@given(st.lists(ANYTHING, min_size=1))
def test_an_export_is_imported_as_it_was(values: list[int]) -> None:
    exported = export_histogram(filled(values))
    assert isinstance(exported, HistogramExport)
    assert exported.scheme == SCHEME
    assert list(exported.counts) == sorted(exported.counts)
    assert import_histogram(exported) == filled(values)


def test_worked_example_of_nearest_rank() -> None:
    histogram = filled([value * 1_000_000 for value in range(1, 101)])
    assert [round((histogram.quantile_ns(q) or 0) / 1e6) for q in (10, 500, 950, 990, 1000)] == [1, 50, 95, 99, 100]


def test_without_any_delay_there_is_no_variation() -> None:
    assert Histogram().pdv_ns() is None


@given(st.lists(st.integers(MIN_NS, MAX_NS) | st.integers(10**6, 2 * 10**6), min_size=1, max_size=1500))
def test_the_single_number_is_the_sorted_99_9th_percentile_less_the_minimum(delays: list[int]) -> None:
    histogram = Histogram()
    for delay in delays:
        histogram.record(delay)
    exact = sorted(delays)[-(-999 * len(delays) // 1000) - 1]
    found = histogram.pdv_ns()
    assert found is not None
    assert abs(found - (exact - min(delays))) <= 0.016 * exact
