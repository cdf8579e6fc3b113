"""Calls across steps and slews of the wall clock, in virtual time: rows and readings of both clocks move together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_slot import MS, PACKET_NS, SECOND, T0, Slot, collect

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.figures.sla import judge
from rtppool_relay.media.clock_readings import ClockReading
from rtppool_relay.streams.slices import Slice, window_report
from rtppool_relay.streams.steady_clock import SteadyClock

PPM = 1_000_000
Wall = Callable[[int], int]


def stepping(at_ns: int, size_ns: int) -> Wall:
    return lambda raw_ns: raw_ns + (size_ns if raw_ns >= at_ns else 0)


def slewing(from_ns: int, to_ns: int, ppm: int) -> Wall:
    return lambda raw_ns: raw_ns + (min(max(raw_ns, from_ns), to_ns) - from_ns) * ppm // PPM


@dataclass
class Call:
    """A call of 50 packets a second, measured as the relay does: readings each 100 ms, rows each second."""

    wall: Wall
    round_trip_ns: int = 5 * MS
    lost_one_in: int = 0
    ppm: int = 0

    def __post_init__(self) -> None:
        self.slot = Slot(self.wall)
        self.measurement = Measurement(SteadyClock())
        self.stream = self.slot.statistics(self.measurement.clock)
        self.measurement.add_stream(0, "calls", self.stream)
        self.sent = 0
        self.now_ns = T0
        self.measurement.compare_clocks(self.slot.reading(T0))

    def talk(self, seconds: float) -> None:
        end = self.now_ns + round(seconds * SECOND)
        while self.now_ns < end:
            self.now_ns += 10 * MS
            while T0 + self.sent * PACKET_NS + self.round_trip_ns + MS < self.now_ns:
                lost = self.lost_one_in and self.sent % self.lost_one_in == self.lost_one_in - 1
                early = self.sent * PACKET_NS * self.ppm // PPM
                self.slot.row(self.sent, None if lost else self.round_trip_ns, source_delay_ns=early)
                self.sent += 1
            if (self.now_ns - T0) % (100 * MS) == 0:
                self.measurement.compare_clocks(self.slot.reading(self.now_ns))
            if (self.now_ns - T0) % SECOND == 0:
                collect(self.measurement, self.measurement.clock.steady_ns(self.now_ns), self.now_ns)

    def settle(self) -> None:
        """Tick until the fate of every packet is known."""
        for _ in range(40):
            self.now_ns += 100 * MS
            now = self.measurement.compare_clocks(self.slot.reading(self.now_ns))
        collect(self.measurement, now, self.now_ns)

    @property
    def total(self) -> Slice:
        return self.stream.total

    def window(self) -> Slice:
        now = self.measurement.clock.steady_ns(self.now_ns)
        return self.measurement.kinds["calls"].store.window(now, 10)[0]


STEPS = [-3600, -60, -5, -0.3, 0.3, 1, 5, 3600]


@pytest.mark.parametrize("seconds", STEPS)
@pytest.mark.parametrize("at_ms", [20_000, 20_002, 20_055])
def test_a_step_costs_the_samples_across_it_and_no_packet(seconds: float, at_ms: int) -> None:
    call = Call(stepping(T0 + at_ms * MS, round(seconds * SECOND)))
    call.talk(40)
    call.settle()
    total, clock = call.total, call.measurement.clock
    assert (clock.steps, clock.slews) == (1, 0)
    assert total.packets == total.answered == call.sent == call.stream.sent_to_echo
    assert call.measurement.flaws.samples_dropped <= 1
    assert total.round_trip.count == call.sent - call.measurement.flaws.samples_dropped
    assert total.round_trip.max_ns == pytest.approx(5 * MS, rel=0.01)
    assert total.residence.max_ns == pytest.approx(0.1 * MS, rel=0.01)
    assert (total.late_source, total.late_relay, total.late_echo, total.reordered, total.source_lost) == (0, 0, 0, 0, 0)
    assert (total.jitter_us() or 0, total.source_jitter_us() or 0) == (0, 0)


@pytest.mark.parametrize("seconds", STEPS)
def test_packets_that_wait_for_an_answer_across_a_step_are_lost_after_two_seconds_and_no_others(seconds: float) -> None:
    call = Call(stepping(T0 + 20 * SECOND + 1, round(seconds * SECOND)), lost_one_in=50)
    call.talk(40)
    lost_soon = call.total.lost
    call.settle()
    assert lost_soon >= 800 * 2 // 50
    assert (call.total.lost, call.total.answered) == (40, call.sent - 40)
    assert (call.total.bursts.lost, call.total.source_lost) == (40, 0)
    assert call.measurement.flaws.row_overruns == 0


def test_after_a_step_back_by_an_hour_measuring_goes_on_and_a_slow_echo_violates() -> None:
    call = Call(stepping(T0 + 20 * SECOND, -3600 * SECOND))
    call.talk(20)
    call.round_trip_ns = 500 * MS
    call.talk(20)
    window = call.window()
    assert window.round_trip.count == window.packets == 500
    report = judge(window, 1, SlaLimits(min_samples=100)).report
    assert report.result == "Violated"
    assert "maxRttMicroseconds" in {violation.limit for violation in report.violations}


def test_a_windows_bounds_are_unix_time_after_a_step() -> None:
    call = Call(stepping(T0 + 20 * SECOND, -3600 * SECOND))
    call.talk(40)
    clock, now = call.measurement.clock, call.measurement.clock.steady_ns(call.now_ns)
    lead_seconds = round((clock.wall_ns(now) - now) / SECOND)
    report = window_report(call.measurement.kinds["calls"].store, now, 10, lead_seconds)
    assert report is not None
    assert report.end_unix_seconds == call.slot.wall(call.now_ns) // SECOND - 4


@pytest.mark.parametrize("ppm", [500, -500, 10_000, -10_000, 83_333, -83_333])
@pytest.mark.parametrize("from_ms", [15_000, 15_037])
def test_round_trips_during_a_slew_are_right_to_one_per_cent_and_it_is_one_event(ppm: int, from_ms: int) -> None:
    call = Call(slewing(T0 + from_ms * MS, T0 + 27_480 * MS, ppm), round_trip_ns=10 * MS)
    call.talk(60)
    call.settle()
    total, clock = call.total, call.measurement.clock
    assert (clock.slews, clock.steps, call.measurement.flaws.samples_dropped) == (1, 0, 0)
    assert total.round_trip.count == total.packets == call.sent
    assert (total.round_trip.min_ns, total.round_trip.max_ns) == (
        pytest.approx(10 * MS, rel=0.01),
        pytest.approx(10 * MS, rel=0.01),
    )
    assert (total.late_source, total.late_relay, total.late_echo) == (0, 0, 0)
    assert (total.source_variation.max_ns or 0) < MS
    assert (total.source_jitter_us() or 0) < 10


@pytest.mark.parametrize("ppm", [30, -30, 150])
def test_the_frequency_that_ntp_corrects_is_no_event(ppm: int) -> None:
    call = Call(slewing(T0, T0 + 3600 * SECOND, ppm), ppm=40)
    call.talk(60)
    call.settle()
    clock = call.measurement.clock
    assert (clock.steps, clock.slews) == (0, 0)
    assert (call.total.late_source, call.measurement.flaws.samples_dropped, call.total.reordered) == (0, 0, 0)
    assert call.total.round_trip.max_ns == pytest.approx(5 * MS, rel=0.001)


def test_two_slews_with_a_pause_between_are_two_events() -> None:
    first, second = (slewing(T0 + at * SECOND, T0 + (at + 5) * SECOND, 5_000) for at in (10, 20))
    call = Call(lambda raw_ns: first(raw_ns) + second(raw_ns) - raw_ns)
    call.talk(30)
    assert (call.measurement.clock.slews, call.measurement.clock.steps) == (2, 0)


def test_a_step_within_a_slew_is_a_step_beside_the_one_slew() -> None:
    slew, step = slewing(T0 + 10 * SECOND, T0 + 20 * SECOND, 10_000), stepping(T0 + 15 * SECOND, -SECOND)
    call = Call(lambda raw_ns: slew(raw_ns) + step(raw_ns) - raw_ns)
    call.talk(30)
    assert (call.measurement.clock.slews, call.measurement.clock.steps) == (1, 1)
    assert call.total.round_trip.max_ns == pytest.approx(5 * MS, rel=0.01)
    assert call.measurement.flaws.samples_dropped <= 1


@given(st.integers(-20_000, 20_000), st.integers(0, 2_000), st.integers(0, 1_900))
def test_a_step_of_any_size_at_any_moment_spoils_no_figure(step_ms: int, at_ms: int, round_trip_ms: int) -> None:
    clock, slot = SteadyClock(), Slot(stepping(T0 + at_ms * MS, step_ms * MS))
    statistics = slot.statistics(clock)
    clock.compare(slot.reading(T0))
    for number in range(100):
        slot.row(number, round_trip_ms * MS)
    for tick in range(1, 60):
        clock.compare(slot.reading(T0 + tick * 100 * MS))
    statistics.collect(clock.steady_ns(T0 + 6 * SECOND))
    total = statistics.total
    assert total.answered == total.packets == 100
    assert total.round_trip.count == 100 - statistics.samples_dropped
    if total.round_trip.count:
        # A step of less than a tenth of the round trip can't be told from a slew.
        assert total.round_trip.max_ns == pytest.approx(round_trip_ms * MS, rel=0.01, abs=1000)
        assert total.round_trip.min_ns == pytest.approx(round_trip_ms * MS, rel=0.01, abs=1000)


@given(st.integers(-80_000, 80_000), st.integers(1_000, 1_000_000_000), st.integers(0, 10**12))
def test_steady_time_keeps_the_rate_of_the_raw_clock(ppm: int, until_ns: int, raw_ns: int) -> None:
    clock, slot = SteadyClock(), Slot(slewing(raw_ns, raw_ns + until_ns, ppm))
    clock.compare(slot.reading(raw_ns))
    for elapsed in range(0, 3 * SECOND, 100 * MS):
        clock.compare(slot.reading(raw_ns + elapsed))
        assert clock.steady_ns(raw_ns + elapsed) - clock.steady_ns(raw_ns) == elapsed


def test_a_reading_that_was_interrupted_is_no_step() -> None:
    clock = SteadyClock()
    for tick in range(50):
        late_ns = 3 * MS if tick == 20 else 0
        clock.compare(ClockReading(T0 + tick * 100 * MS + late_ns, tick * 100 * MS, late_ns))
    assert (clock.steps, clock.slews) == (0, 0)


def test_a_row_keeps_its_place_however_often_the_clock_is_stepped() -> None:
    steps = [stepping(T0 + at * SECOND, size * SECOND) for at, size in ((5, 3600), (6, -7200), (7, 3600))]
    call = Call(lambda raw_ns: raw_ns + sum(step(raw_ns) - raw_ns for step in steps))
    call.talk(10)
    call.settle()
    assert call.measurement.clock.steps == 3
    by_second = call.measurement.kinds["calls"].store._slices
    assert sorted(by_second) == list(range(T0 // SECOND, T0 // SECOND + 10))
    assert np.ptp([part.packets for part in by_second.values()]) <= 1


def test_a_machine_that_started_before_unix_time_began_to_count_has_the_same_figures() -> None:
    step, apart_ns = stepping(T0 + 5 * SECOND, -SECOND), 1_234_567_890_123_456_789
    call = Call(lambda raw_ns: step(raw_ns) + apart_ns)
    call.talk(10)
    call.settle()
    assert call.measurement.clock.wall_ns(call.measurement.clock.steady_ns(call.now_ns)) == call.slot.wall(call.now_ns)
    assert call.total.answered == call.total.packets == call.sent
    assert call.total.round_trip.max_ns == pytest.approx(5 * MS, rel=0.01)
    assert call.measurement.flaws.samples_dropped <= 1
