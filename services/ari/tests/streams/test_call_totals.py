"""The figures of calls as columns, against the same call by call and value by value."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from row_slot import SECOND, Slot, after, memory_for

from rtppool_core.statistics.histogram import Histogram
from rtppool_relay.streams.call_totals import CallTotals
from rtppool_relay.streams.columns import StreamSpans, buckets_of
from rtppool_relay.streams.row_reader import RowRings
from rtppool_relay.streams.slices import Slice

SLOTS = 3
TIMES_NS = st.tuples(st.integers(0, SLOTS - 1), st.integers(0, 70 * SECOND))


def record(totals: CallTotals, times: list[tuple[int, int]]) -> None:
    slots, values = np.array(sorted(times), np.int64).T
    spans = StreamSpans(slots)
    extremes = np.minimum.reduceat(values, spans.starts), np.maximum.reduceat(values, spans.starts)
    totals.record("round_trip", buckets_of(values), slots, np.array(spans.owners), *extremes)


@given(st.lists(st.lists(TIMES_NS, min_size=1, max_size=9), max_size=20))
def test_each_call_has_the_histogram_of_its_own_times(ticks: list[list[tuple[int, int]]]) -> None:
    totals, one_by_one = CallTotals(SLOTS), [Histogram() for _ in range(SLOTS)]
    for times in ticks:
        record(totals, times)
        for slot, value in times:
            one_by_one[slot].record(value)
        assert [totals.histogram(slot, "round_trip") for slot in range(SLOTS)] == one_by_one


def test_a_call_begins_without_the_figures_of_the_slots_former_call() -> None:
    totals = CallTotals(SLOTS)
    record(totals, [(1, 5_000), (2, 9_000)])
    one, other = np.array([1]), np.array([2])
    for slots in (one, other):
        totals.count("packets", slots, [3])
        totals.add_jitter("jitter", slots, np.array([1.5]), [2], np.array([1.0]))
        totals.add_skews(slots, [7.0], [True])
        totals.keep_latest(np.repeat(slots, 2), np.array([5, 6]))
    totals.begin(1)
    emptied, kept = Slice(), Slice()
    totals.add_to(emptied, 1)
    totals.add_to(kept, 2)
    assert emptied.is_empty()
    assert totals.histogram(1, "round_trip") == Histogram()
    assert (kept.packets, kept.jitter_sum_us, kept.max_jitter_us, kept.skew_clamped) == (3, 1.5, 1.0, 1)
    assert [each.tolist() for each in totals.take_latest()] == [[2, 2], [5, 6]]


def test_a_call_that_has_ended_keeps_its_figures_when_another_one_gets_its_slot() -> None:
    slot = Slot(memory=memory_for(1))
    rings = RowRings(slot.memory)
    for number in range(10):
        slot.row(number, round_trip_ns=3_000_000)
    ended = slot.statistics(rings=rings)
    ended.finish(after(10))
    slot.statistics(rings=rings)
    assert (ended.total.packets, ended.total.round_trip.count, ended.flow.returned) == (10, 10, 10)
