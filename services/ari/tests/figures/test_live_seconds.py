from __future__ import annotations

from row_slot import MS, PACKET_NS, T0, Slot, after, collect

from rtppool_relay.figures.live_seconds import (
    CALL_HISTORY_SECONDS,
    HISTORY_SECONDS,
    LiveCalls,
    LiveHistory,
    LiveSecond,
    live_second,
)
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.streams.slices import Slice
from rtppool_relay.streams.steady_clock import SteadyClock

AT = T0 // 1_000_000_000


def test_a_second_without_packets_is_a_gap_and_no_figure_of_it_is_zero() -> None:
    gap = live_second(AT, Slice())
    assert gap == LiveSecond(AT, 0)
    figures = {name: getattr(gap, name) for name in gap.__struct_fields__ if name not in {"at_unix_seconds", "packets"}}
    assert set(figures.values()) == {None}


def test_figures_that_were_not_measured_are_absent_among_those_that_were() -> None:
    second = live_second(AT, Slice(packets=50, answered=49))
    assert (second.packets, second.lost) == (50, 1)
    assert (second.late_source, second.late_echo, second.late_host, second.p50, second.jitter) == (None,) * 5


def test_the_history_keeps_fifteen_minutes() -> None:
    history = LiveHistory()
    for second in range(HISTORY_SECONDS + 10):
        history.add(AT + second, Slice())
    assert [history.seconds[0].at_unix_seconds, len(history.seconds)] == [AT + 10, 900]


def test_a_second_has_the_packets_that_became_known_since_the_last_one() -> None:
    slot = Slot()
    measurement = Measurement(SteadyClock())
    measurement.add_stream(0, "calls", slot.statistics())
    for number in range(100):
        slot.row(number, round_trip_ns=2 * MS)
    collect(measurement, after(100, 0), 0)
    first = live_second(AT, measurement.kinds["calls"].take_latest())
    for number in range(100, 150):
        slot.row(number, round_trip_ns=22 * MS)
    collect(measurement, after(150, 0), 0)
    step = live_second(AT + 1, measurement.kinds["calls"].take_latest())
    assert (first.packets, step.packets) == (100, 50)
    assert first.longest == 2000
    assert step.p50 is not None
    assert step.p50 > 21_000
    assert measurement.kinds["calls"].take_latest().is_empty()


def test_each_call_has_its_own_seconds_and_an_ended_one_is_forgotten() -> None:
    slot, calls = Slot(), LiveCalls()
    stream = slot.statistics()
    for number in range(50):
        slot.row(number, round_trip_ns=3 * MS)
    stream.collect(T0 + 50 * PACKET_NS)
    calls.add(AT, [(10_000, stream)])
    calls.add(AT + 1, [(10_000, stream)])
    first, second = calls.seconds(10_000)
    assert (first.packets, first.p50, first.longest) == (50, 3000, 3000)
    assert (second.packets, second.p50, second.longest) == (0, None, None)
    assert calls.latest(10_000) == second
    calls.add(AT + 2, [(10_001, Slot().statistics())])
    assert list(calls.seconds(10_000)) == []
    assert calls.latest(10_002) is None
    for at in range(2 * CALL_HISTORY_SECONDS):
        calls.add(AT + at, [(10_000, stream)])
    assert len(list(calls.seconds(10_000))) == CALL_HISTORY_SECONDS
