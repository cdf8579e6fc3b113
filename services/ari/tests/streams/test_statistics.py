"""Rows written by hand, read as the control process reads them: figures against the core's one-by-one forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import Jitter
from row_slot import FIRST_INDEX, MS, PACKET_NS, SECOND, T0, Slot, after, collect, memory_for

from rtppool_core.statistics.histogram import Histogram, bucket_of
from rtppool_relay.figures.measurement import KINDS, Measurement
from rtppool_relay.streams.columns import buckets_of, middles_of, record_all
from rtppool_relay.streams.jitter import StreamJitter, update_jitter
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_relay.streams.slices import Slice, SliceStore, window_report
from rtppool_relay.streams.source_loss import SourceGaps
from rtppool_relay.streams.steady_clock import SteadyClock


@pytest.fixture
def slot() -> Slot:
    return Slot()


def test_every_row_is_taken_once_and_unanswered_ones_only_when_they_are_lost(slot: Slot) -> None:
    slot.row(0)
    slot.row(1, round_trip_ns=None)
    reader = RowReader(RowRings(slot.memory), 0)
    assert reader.take(T0 + SECOND)["index"].tolist() == [FIRST_INDEX]
    assert reader.take(T0 + 2 * SECOND).size == 0
    assert reader.take(T0 + 3 * SECOND)["index"].tolist() == [FIRST_INDEX + 1]
    assert reader.take(T0 + 9 * SECOND).size == 0


def test_packets_answered_lost_and_round_trips_are_those_of_the_rows(slot: Slot) -> None:
    for number in range(100):
        slot.row(number, round_trip_ns=None if number % 10 == 9 else 5 * MS)
    statistics = slot.statistics()
    statistics.collect(after(100))
    total = statistics.total
    assert (total.packets, total.answered, total.lost) == (100, 90, 10)
    assert total.round_trip.max_ns == 5 * MS
    assert total.round_trip.min_ns == 5 * MS
    assert total.residence.max_ns == 100_000


def test_a_gap_in_the_sequence_from_asterisk_is_source_loss_unless_it_is_filled(slot: Slot) -> None:
    statistics = slot.statistics()
    for number in (0, 1, 4, 5):
        slot.row(number)
    statistics.collect(after(6, 0))
    slot.row(2, round_trip_ns=70 * MS)  # returns after its followers
    statistics.collect(after(6, 0.5))
    statistics.collect(after(6, 5))
    assert statistics.total.source_lost == 1
    assert statistics.total.reordered == 1


@pytest.mark.parametrize("collected_late_seconds", [0.1, 8])
def test_audio_that_asterisk_withheld_during_a_digit_is_no_loss_and_a_later_gap_is(
    slot: Slot, collected_late_seconds: float
) -> None:
    """As recorded: 200 ms of event packets between the audio leave a gap of 20 numbers, and each repeated end one."""
    statistics = slot.statistics()
    for number in (*range(10), *range(30, 32), *range(33, 100)):
        slot.row(number)
    statistics.excuse_digit(after(31, 0), 200 * MS)
    statistics.collect(after(100, collected_late_seconds))
    for number in (*range(100, 200), *range(203, 210)):
        slot.row(number)
    statistics.collect(after(210))
    statistics.collect(after(210, 20))
    assert statistics.total.source_lost == 3
    assert statistics.total.bursts.lost == 3


def test_waiting_rows_are_no_gap(slot: Slot) -> None:
    statistics = slot.statistics()
    for number in range(10):
        slot.row(number, round_trip_ns=None if number == 5 else MS)
    statistics.collect(after(10, 0.1))
    statistics.collect(after(10, 10))
    statistics.collect(after(10, 20))
    assert (statistics.total.source_lost, statistics.total.lost) == (0, 1)


def test_a_new_epoch_is_no_gap_and_no_jitter(slot: Slot) -> None:
    statistics = slot.statistics()
    for number in range(50):
        slot.row(number)
    for number in range(50, 100):
        slot.row(number, epoch=2, sequence=number - 50, timestamp=number * 160 + 77777)
    statistics.collect(after(100))
    statistics.collect(after(100, 20))
    assert statistics.total.source_lost == 0
    assert statistics.total.source_jitter_us() == 0


def test_at_a_calls_end_what_is_unanswered_for_200_ms_is_lost_and_the_rest_was_cut(slot: Slot) -> None:
    for number in range(20):
        slot.row(number, round_trip_ns=None)
    statistics = slot.statistics()
    statistics.finish(T0 + 20 * PACKET_NS)
    # Packets 0 to 9 were sent 200 ms or more before the end; the residence of packet 10 makes it younger.
    assert statistics.total.packets == 10


def test_overtaken_answers_are_counted_as_reordered(slot: Slot) -> None:
    slot.row(0)
    slot.row(1, round_trip_ns=50 * MS)
    slot.row(2)
    slot.row(3)
    statistics = slot.statistics()
    statistics.collect(after(4))
    assert statistics.total.reordered == 1


def judged(slot: Slot, packets: int) -> Slice:
    statistics = slot.statistics()
    statistics.collect(after(packets))
    return statistics.total


@pytest.mark.parametrize(
    ("delay", "cause"),
    [
        ({"source_delay_ns": 4 * MS}, "late_source"),
        ({"residence_ns": 4 * MS}, "late_relay"),
        ({"round_trip_ns": 9 * MS}, "late_echo"),
    ],
)
def test_four_ms_too_much_is_late_and_names_whose_they_are(slot: Slot, delay: dict[str, int], cause: str) -> None:
    for number in range(200):
        slot.row(number, **(delay if number == 150 else {}))
    total = judged(slot, 200)
    assert {name: getattr(total, name) for name in ("late_source", "late_relay", "late_echo")} == {
        "late_source": 0,
        "late_relay": 0,
        "late_echo": 0,
        cause: 1,
    }


def test_two_ms_too_much_is_not_late(slot: Slot) -> None:
    for number in range(200):
        slot.row(number, round_trip_ns=7 * MS if number % 3 == 0 else 5 * MS)
    total = judged(slot, 200)
    assert total.late_source + total.late_relay + total.late_echo == 0


@pytest.mark.parametrize("ppm", [200, -200])
def test_a_clock_that_is_200_ppm_off_makes_nothing_late_in_ten_minutes(ppm: int) -> None:
    slot = Slot()
    statistics = slot.statistics()
    for number in range(30_000):
        slot.row(number, source_delay_ns=number * PACKET_NS * ppm // 1_000_000)
        if number % 50 == 49:
            statistics.collect(after(number, 0.1))
    assert statistics.total.answered == 30_000
    assert statistics.total.late_source == 0
    assert abs(statistics.skew_ppm - ppm) < 5


def test_a_timestamp_jump_and_a_marker_after_silence_re_anchor(slot: Slot) -> None:
    for number in range(100):
        slot.row(number)
    for number in range(100, 200):
        slot.row(number, timestamp=number * 160 + 1_000_000)
    for number in range(200, 300):
        slot.row(number, source_delay_ns=150 * MS, timestamp=number * 160 + 1_000_000, marker=int(number == 200))
    total = judged(slot, 300)
    assert total.late_source == 0


@given(st.lists(st.integers(0, 70 * SECOND), min_size=1, max_size=200))
def test_columns_go_into_the_same_buckets_as_single_values(values: list[int]) -> None:
    assert buckets_of(np.array(values, np.int64)).tolist() == [bucket_of(value) for value in values]


@given(st.lists(st.integers(0, 70 * SECOND), min_size=1, max_size=50))
def test_a_histogram_filled_by_column_equals_one_filled_one_by_one(values: list[int]) -> None:
    by_column, one_by_one = Histogram(), Histogram()
    record_all(by_column, np.array(values, np.int64))
    for value in values:
        one_by_one.record(value)
    assert by_column == one_by_one


@given(st.lists(st.lists(st.integers(0, 10**10), min_size=1, max_size=6), min_size=1, max_size=8))
def test_the_middle_and_the_largest_of_many_groups_are_those_of_each(groups: list[list[int]]) -> None:
    values = np.concatenate([np.array(group, np.int64) for group in groups])
    middles, largest = middles_of(values, np.array([len(group) for group in groups]))
    assert middles.tolist() == [sorted(group)[len(group) // 2] for group in groups]
    assert largest.tolist() == [max(group) for group in groups]


STREAM = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**32 - 1)), max_size=40)


@given(st.lists(STREAM, min_size=1, max_size=4), st.integers(1, 10))
def test_jitter_over_columns_of_many_streams_is_rfc_3550s_one_by_one(
    streams: list[list[tuple[int, int]]], cut: int
) -> None:
    columns = [StreamJitter(8000) for _ in streams]
    estimates: list[list[float]] = [[] for _ in streams]
    arrivals = [np.cumsum([step * MS + 1 for step, _ in stream]).astype(np.int64) for stream in streams]
    for start in range(0, 40, cut):
        rows = [
            (owner, int(arrivals[owner][at]), stream[at][1])
            for owner, stream in enumerate(streams)
            for at in reversed(range(start, min(start + cut, len(stream))))
        ]
        owners, times, stamps = np.array(rows, np.int64).reshape(-1, 3).T.copy()
        after_each = update_jitter(columns, owners, times, stamps, np.ones(owners.size, np.int64))
        for owner in range(len(streams)):
            estimates[owner] += reversed(after_each[owners == owner].tolist())
    for owner, stream in enumerate(streams):
        reference = Jitter()
        expected = []
        for arrival, (_, stamp) in zip(arrivals[owner].tolist(), stream, strict=True):
            reference.update(arrival, stamp)
            expected.append(reference.microseconds if expected else math.nan)
        assert columns[owner].ticks == pytest.approx(reference.ticks)
        assert estimates[owner] == pytest.approx(expected, nan_ok=True)
        assert columns[owner].measured is (len(stream) > 1)


@given(st.sets(st.integers(0, 80), min_size=1), st.integers(1, 20))
def test_gaps_equal_what_is_missing_between_first_and_last(present: set[int], cut: int) -> None:
    indexes = np.array(sorted(present), np.uint64)
    gaps = SourceGaps()
    gaps.restart(min(present))
    for start in range(0, indexes.size, cut):
        part = indexes[start : start + cut]
        gaps.update(part, np.zeros(part.size, np.int64), 0, lambda _index: False)
    lost = {index for first, last in gaps.lost(10 * SECOND) for index in range(first, last + 1)}
    assert lost == set(range(min(present), max(present))) - present


@given(st.permutations(range(40)), st.sets(st.integers(0, 39)), st.integers(1, 8))
def test_everything_below_the_frontier_has_met_its_fate(order: list[int], absent: set[int], cut: int) -> None:
    """Rows finish in any order; those that are absent never came."""
    gaps, finished, given_up = SourceGaps(), set(), set()
    gaps.restart(100)
    rows = [100 + number for number in order if number not in absent]
    for tick, start in enumerate(range(0, len(rows), cut)):
        batch = sorted(rows[start : start + cut])
        gaps.update(
            np.array(batch, np.uint64),
            np.full(len(batch), tick * SECOND),
            tick * SECOND,
            lambda index: index in rows,
        )
        finished.update(batch)
        given_up.update(at for first, last in gaps.lost(tick * SECOND) for at in range(first, last + 1))
        below = set(range(100, gaps.frontier))
        assert below <= finished | given_up
        assert given_up.isdisjoint(rows)
    if rows:
        gaps.lost(1000 * SECOND)
        assert gaps.frontier == max(rows) + 1


def filled(packets: int = 2000, answered: int | None = None, round_trip_ns: int = 5 * MS, **late: int) -> Slice:
    figures = Slice(packets=packets, answered=packets if answered is None else answered, **late)
    figures.round_trip.add_buckets([(bucket_of(round_trip_ns), figures.answered)], round_trip_ns, round_trip_ns)
    return figures


def test_a_window_has_the_closed_slices_only_and_is_absent_without_packets() -> None:
    store = SliceStore()
    assert window_report(store, 100 * SECOND, 60) is None
    for second in range(30, 101):
        store.add(second, filled(packets=10))
    window = window_report(store, 100 * SECOND, 60)
    assert window is not None
    assert (window.start_unix_seconds, window.end_unix_seconds, window.packets) == (36, 96, 600)


def test_old_slices_are_forgotten_but_the_total_is_not() -> None:
    store = SliceStore(window_seconds=1)
    for second in range(100):
        store.add(second, filled(packets=1))
    assert store.total.packets == 100
    assert store.window(105 * SECOND, 90)[0].packets == 7


def test_calls_and_probe_are_never_mixed(slot: Slot) -> None:
    measurement = Measurement(SteadyClock())
    slot.row(0)
    measurement.add_stream(0, "probe", slot.statistics())
    collect(measurement, after(1), 0)
    measurement.end_stream(0, after(1))
    assert measurement.kinds["probe"].store.total.packets == 1
    assert measurement.kinds["calls"].store.total.packets == 0


def test_calls_and_probe_of_one_collection_have_figures_of_their_own() -> None:
    memory = memory_for(2)
    slots, rings = [Slot(memory=memory, number=number) for number in range(2)], RowRings(memory)
    measurement = Measurement(SteadyClock())
    for slot, kind, packets in zip(slots, KINDS, (7, 3), strict=True):
        measurement.add_stream(slot.number, kind, slot.statistics(rings=rings))
        for number in range(packets):
            slot.row(number)
    collect(measurement, after(10), 0)
    for slot, packets in zip(slots, (7, 3), strict=True):
        figures = measurement.kinds[KINDS[slot.number]]
        assert (figures.store.total.packets, figures.store.total.round_trip.count) == (packets, packets)
        assert int(figures.durations["round_trip"].counts.sum()) == packets
        measurement.end_stream(slot.number, after(10))
        assert figures.store.total.packets == packets


def test_the_probe_alone_is_looked_at_between_two_ticks(slot: Slot) -> None:
    measurement = Measurement(SteadyClock())
    slot.row(0)
    measurement.add_stream(0, "probe", slot.statistics())
    measurement.collect_probe(after(1), 0)
    assert measurement.kinds["probe"].store.total.packets == 1
    assert measurement.echo.reachable


def test_calls_wait_for_the_tick(slot: Slot) -> None:
    measurement = Measurement(SteadyClock())
    slot.row(0)
    measurement.add_stream(0, "calls", slot.statistics())
    measurement.collect_probe(after(1), 0)
    assert measurement.kinds["calls"].store.total.packets == 0
