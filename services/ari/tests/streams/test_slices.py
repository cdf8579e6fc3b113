from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_slot import MS, T0, Slot, collect

from rtppool_core.statistics.bursts import BurstCounts
from rtppool_relay.figures.measurement import KINDS, Measurement
from rtppool_relay.streams.slices import Slice, SliceStore
from rtppool_relay.streams.steady_clock import SteadyClock

SECOND = 1_000_000_000


def filled(store: SliceStore, seconds: int) -> None:
    for second in range(seconds):
        store.add(second, Slice(packets=1))


def test_the_longest_window_that_a_pool_may_ask_for_is_whole() -> None:
    measurement = Measurement(SteadyClock())
    measurement.keep_window(600)
    for kind in KINDS:
        store = measurement.kinds[kind].store
        filled(store, 2000)
        assert store.window(2000 * SECOND, 600)[0].packets == 600


def test_slices_that_no_window_needs_are_forgotten() -> None:
    store = SliceStore(window_seconds=60)
    filled(store, 2000)
    assert len(store._slices) < 70


@pytest.mark.parametrize("between_ms", [200, 500, 1_000, 1_070, 1_400])
def test_the_window_is_whole_at_any_moment(between_ms: int) -> None:
    """A tenth of the answers is lost. A relay collects once a second, and a round of it takes time as well."""
    slot, measurement = Slot(), Measurement(SteadyClock())
    measurement.add_stream(0, "calls", slot.statistics())
    store = measurement.kinds["calls"].store
    sent = 0
    for now_ms in range(0, 80_000, between_ms):
        while sent * 20 + 5 < now_ms:
            slot.row(sent, round_trip_ns=None if sent % 10 == 7 else 4 * MS)
            sent += 1
        now = T0 + now_ms * MS
        if now_ms > 66_000:
            # Just before the collection, when the last one is longest ago.
            window, start, end = store.window(now, 60)
            assert (end - start, window.packets, window.lost) == (60, 3_000, 300)
        collect(measurement, now, 0)


ADDED = st.tuples(st.integers(0, 40), st.lists(st.integers(0, 10**8), max_size=4), st.integers(0, 3))
STEPS = st.lists(st.tuples(st.lists(ADDED, max_size=6), st.integers(0, 50), st.integers(1, 15)), max_size=12)


@given(STEPS)
def test_a_window_that_moves_is_the_sum_of_its_slices_wherever_late_figures_fall(
    steps: list[tuple[list[tuple[int, list[int], int]], int, int]],
) -> None:
    store = SliceStore(window_seconds=10)
    for added, now, seconds in steps:
        for second, round_trips, lost in added:
            part = Slice(packets=len(round_trips) + lost, answered=len(round_trips), max_reordering_extent=lost)
            for value in round_trips:
                part.round_trip.record(value)
            part.bursts.add(BurstCounts(lost=lost))
            store.add(second, part)
        window, start, end = store.window(now * SECOND, seconds)
        expected = Slice()
        for _, held in store.between(start, end):
            expected.add(held)
        assert window == expected
