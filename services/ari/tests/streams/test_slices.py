from __future__ import annotations

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
