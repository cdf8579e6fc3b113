from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.host.intervals import Interval, intersection, overlap_ns, united

MOMENTS = st.integers(0, 60)
INTERVALS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=8)


def moments(intervals: list[Interval]) -> set[int]:
    return {moment for start, end in intervals for moment in range(start, end)}


@given(INTERVALS)
def test_a_union_covers_the_same_moments_in_sorted_disjoint_intervals(intervals: list[Interval]) -> None:
    merged = united(intervals)
    assert moments(merged) == moments(intervals)
    bounds = [bound for interval in merged for bound in interval]
    assert bounds == sorted(set(bounds))


@given(INTERVALS, INTERVALS)
def test_an_intersection_is_the_moments_of_both(some: list[Interval], others: list[Interval]) -> None:
    common = intersection(united(some), united(others))
    assert moments(common) == moments(some) & moments(others)
    assert all(start < end for start, end in common)


@given(INTERVALS, MOMENTS, MOMENTS)
def test_the_overlap_of_a_span_is_the_number_of_its_moments_inside(
    intervals: list[Interval], start: int, end: int
) -> None:
    assert overlap_ns(united(intervals), start, end) == len(moments(intervals) & set(range(start, end)))
