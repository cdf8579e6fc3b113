from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.statistics.histogram import Histogram, bounds_ns, bucket_of
from rtppool_relay.http.page.plot import MAX_BARS, Mark, draw_plot, group_bars, span_axis

MS = 1_000_000
MARKS = (Mark("p50 8 ms", 8 * MS), Mark("longest 22 ms", 22 * MS))
durations = st.integers(0, 70_000 * MS)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(durations, min_size=1, max_size=50))
def test_every_sample_is_in_one_bar_that_spans_its_bucket(values: list[int]) -> None:
    histogram = filled(values)
    bars = group_bars(histogram, span_axis(histogram, MARKS))
    assert sum(bar.count for bar in bars) == len(values)
    assert all(before.high_ns <= after.low_ns for before, after in pairwise(bars))
    for value in values:
        low, high = bounds_ns(bucket_of(value))
        assert any(bar.low_ns <= low and high <= bar.high_ns for bar in bars)


@given(st.lists(durations, min_size=1, max_size=300))
def test_the_bars_are_few_enough_to_see(values: list[int]) -> None:
    histogram = filled(values)
    axis = span_axis(histogram, MARKS)
    octaves = bucket_of(int(axis.high_ns)) // 64 + 2
    assert len(group_bars(histogram, axis)) <= max(MAX_BARS, octaves) + 2


@given(st.lists(durations, max_size=20))
def test_everything_is_on_the_axis_and_in_order(values: list[int]) -> None:
    histogram = filled(values)
    axis = span_axis(histogram, MARKS)
    places = [axis.percent(value) for value in sorted([*values, *(mark.at_ns for mark in MARKS)])]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)
    assert axis.ticks()


def test_a_plot_marks_the_limits_and_the_bars_above_the_longest_accepted_round_trip() -> None:
    drawn = draw_plot(filled([MS] * 100 + [23 * MS]), MARKS, 22 * MS)
    assert [bar.classes for bar in drawn.bars] == ["bar", "above"]
    assert [mark.text for mark in drawn.marks] == ["longest 22 ms", "p50 8 ms"]
