from __future__ import annotations

import pytest
from row_slot import MS, T0, Slot

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
        measurement.tick(now, 0)
