from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.host.intervals import Interval
from rtppool_relay.media.rows import UNKNOWN_CPU
from rtppool_relay.streams.stalls import NO_STALLS, Stalls

MOMENTS = st.integers(0, 40)
INTERVALS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=5)
TRACKS = st.dictionaries(st.integers(0, 3), INTERVALS, max_size=3)
SPANS = st.lists(st.tuples(MOMENTS, MOMENTS, st.sampled_from([0, 1, 2, 3, 4, UNKNOWN_CPU])), max_size=12)
Tracks = dict[int, list[Interval]]
Spans = list[tuple[int, int, int]]


def moments(intervals: list[Interval]) -> set[int]:
    return {moment for start, end in intervals for moment in range(start, end)}


def moments_of(stalls: Tracks, processor: int) -> set[int]:
    """Every moment of a processor's stalls; of one that is not watched, those of all watched processors."""
    if processor in stalls:
        return moments(stalls[processor])
    return set.intersection(*map(moments, stalls.values())) if stalls else set()


def columns(spans: Spans) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts, ends, processors = np.array(spans, np.int64).reshape(-1, 3).T
    return starts, ends, processors


@given(TRACKS, SPANS)
def test_an_overlap_is_the_number_of_moments_of_the_span_in_stalls_of_its_processor(
    stalls: Tracks, spans: Spans
) -> None:
    expected = [len(set(range(start, end)) & moments_of(stalls, processor)) for start, end, processor in spans]
    assert Stalls(stalls).overlap_ns(*columns(spans)).tolist() == expected


@given(TRACKS, TRACKS, SPANS)
def test_a_stage_of_the_media_process_lies_in_stalls_or_in_waits_of_its_processor(
    stalls: Tracks, waits: Tracks, spans: Spans
) -> None:
    expected = [
        len(set(range(start, end)) & (moments_of(stalls, processor) | moments(waits.get(processor, []))))
        for start, end, processor in spans
    ]
    assert Stalls(stalls, waits).overlap_with_waits_ns(*columns(spans)).tolist() == expected


@given(TRACKS, TRACKS, SPANS)
def test_waits_of_the_media_process_are_no_stalls_of_others(stalls: Tracks, waits: Tracks, spans: Spans) -> None:
    both, alone = Stalls(stalls, waits), Stalls(stalls)
    assert both.overlap_ns(*columns(spans)).tolist() == alone.overlap_ns(*columns(spans)).tolist()


@given(TRACKS, TRACKS, TRACKS, SPANS)
def test_a_stall_is_at_most_as_long_as_with_the_unseen_time_before_it(
    stalls: Tracks, waits: Tracks, unseen: Tracks, spans: Spans
) -> None:
    at_most = Stalls(stalls, waits, unseen).at_most
    longest = {each: [*seen, *unseen.get(each, [])] for each, seen in stalls.items()}
    expected = [len(set(range(start, end)) & moments_of(longest, processor)) for start, end, processor in spans]
    assert at_most.overlap_ns(*columns(spans)).tolist() == expected


@pytest.mark.parametrize("processor", [0, 7, UNKNOWN_CPU])
def test_nothing_stalls_where_nothing_is_watched(processor: int) -> None:
    assert NO_STALLS.overlap_ns(*columns([(0, 10**18, processor)])).tolist() == [0]
    assert NO_STALLS.overlap_with_waits_ns(*columns([(0, 10**18, processor)])).tolist() == [0]


def test_times_of_today_are_exact_to_the_nanosecond() -> None:
    now = 1_790_000_000_123_456_789
    stalls = Stalls({0: [(now + 1, now + 8)]})
    assert stalls.overlap_ns(*columns([(now + 3, now + 100, 0)])).tolist() == [5]
