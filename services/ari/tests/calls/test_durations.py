"""Durations of calls, as quantiles and as buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.calls.durations import EDGES_MICROSECONDS, CallDurations

NS_PER_US = 1_000


def test_without_a_call_there_is_no_report() -> None:
    assert CallDurations().report() is None


def test_a_value_on_an_edge_counts_below_it() -> None:
    durations = CallDurations()
    durations.add(40_000 * NS_PER_US)
    durations.add(40_000 * NS_PER_US + 1)
    report = durations.report()
    assert report is not None
    buckets = dict(report.buckets)
    assert (buckets[30_000], buckets[40_000], buckets[50_000]) == (0, 1, 2)


@given(st.lists(st.integers(1, 20_000_000_000), min_size=1, max_size=200))
def test_buckets_grow_and_hold_what_is_not_above_their_edge(values_ns: list[int]) -> None:
    durations = CallDurations()
    for value in values_ns:
        durations.add(value)
    report = durations.report()
    assert report is not None
    assert [edge for edge, _ in report.buckets] == list(EDGES_MICROSECONDS)
    for edge, count in report.buckets:
        assert count == sum(value <= edge * NS_PER_US for value in values_ns)
    assert report.samples == len(values_ns)
    assert report.sum_microseconds == sum(values_ns) // NS_PER_US
    assert report.max_microseconds == round(max(values_ns) / NS_PER_US)


@given(st.lists(st.integers(1_000, 20_000_000_000), min_size=1, max_size=200))
def test_quantiles_are_in_order_and_near_the_nearest_rank(values_ns: list[int]) -> None:
    durations = CallDurations()
    for value in values_ns:
        durations.add(value)
    report = durations.report()
    assert report is not None
    assert report.p50_microseconds <= report.p95_microseconds <= report.p99_microseconds <= report.max_microseconds + 1
    rank = sorted(values_ns)[-(-99 * len(values_ns) // 100) - 1]
    assert abs(report.p99_microseconds * NS_PER_US - rank) <= rank * 0.016 + NS_PER_US
