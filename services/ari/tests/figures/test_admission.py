from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.statistics.histogram import Histogram, bucket_of
from rtppool_relay.figures.admission import GOOD_SECONDS_TO_ACCEPT, MIN_LATE, WINDOW_SECONDS, AdmissionControl

LIMITS = SlaLimits()
PACKETS_PER_CALL = 50
MS = 1_000_000


def times(count: int, usual_ns: int, slowest_ns: int, slow: int) -> Histogram:
    histogram = Histogram()
    histogram.add_buckets([(bucket_of(usual_ns), count - slow)], usual_ns, usual_ns)
    histogram.add_buckets([(bucket_of(slowest_ns), slow)], slowest_ns, slowest_ns)
    return histogram


@dataclass
class Relay:
    """A relay with this many calls, second by second."""

    calls: int = 100
    second: int = 1_700_000_000
    admission: AdmissionControl = field(default_factory=AdmissionControl)

    def live(self, *, late: int = 0, residence_ms: float = 0.2, round_trip_ms: float = 0.5) -> str | None:
        """One second and its evaluation. Two packets of a hundred have the given times."""
        packets = self.calls * PACKETS_PER_CALL
        slow = max(1, packets // 50)
        round_trip = times(packets, 100_000, round(round_trip_ms * MS), slow)
        self.admission.add(
            self.second, packets, late, round_trip, times(packets, 100_000, round(residence_ms * MS), slow)
        )
        return self.end_second()

    def end_second(self) -> str | None:
        self.second += 1
        self.admission.evaluate(self.second, self.calls, LIMITS)
        return self.admission.refusal


def overloaded(calls: int = 100) -> Relay:
    relay = Relay(calls)
    for _ in range(WINDOW_SECONDS + 2):
        relay.live(late=relay.calls)
    assert relay.admission.refusal is not None
    return relay


def test_a_relay_without_overload_accepts_calls() -> None:
    relay = Relay()
    assert [relay.live() for _ in range(20)] == [None] * 20


def test_packets_late_by_the_relay_in_every_second_make_it_refuse_with_the_figures() -> None:
    relay = Relay()
    refusals = [relay.live(late=10) for _ in range(6)]
    assert refusals[:3] == [None, None, None]
    assert refusals[-1] is not None
    assert "the relay made 2000 ppm of packets late, accepted is 1000" in refusals[-1]


def test_a_media_loop_that_lags_behind_the_tier_makes_it_refuse() -> None:
    relay = Relay()
    for _ in range(6):
        relay.live(residence_ms=25, round_trip_ms=3)
    assert "for 101 calls is 22000 µs together" in (relay.admission.refusal or "")


def test_the_tier_is_that_of_one_call_more() -> None:
    relay = Relay(calls=30)
    for _ in range(6):
        relay.live(residence_ms=18.5, round_trip_ms=0.5)  # above 18 ms for 30 calls, below 20 ms for 31
    assert relay.admission.refusal is None


def test_a_hiccup_of_a_second_or_two_is_no_overload() -> None:
    relay = Relay()
    for second in range(40):
        assert relay.live(late=3000 if second % 4 < 2 else 0, residence_ms=200 if second % 4 < 2 else 1) is None


def test_a_bad_moment_in_a_window_within_its_limits_refuses_no_call() -> None:
    relay = Relay()
    for _ in range(60):
        relay.live()
    for _ in range(8):
        assert relay.live(late=25) is None
    while relay.live(late=25) is None:
        assert relay.second < 1_700_000_000 + 120
    assert "ppm of packets late" in (relay.admission.refusal or "")


def test_a_collapse_after_a_good_hour_is_detected_as_soon() -> None:
    relay = Relay()
    for _ in range(60):
        relay.live()
    assert [relay.live(late=500) is None for _ in range(5)][-1] is False


def test_an_overloaded_relay_accepts_calls_again_after_five_good_seconds() -> None:
    relay = overloaded()
    refusals = [relay.live() for _ in range(GOOD_SECONDS_TO_ACCEPT)]
    assert refusals[-2] is not None
    assert refusals[-1] is None


def test_a_relapse_counts_the_good_seconds_anew() -> None:
    relay = overloaded()
    for _ in range(3):
        relay.live()
    for _ in range(WINDOW_SECONDS):
        relay.live(late=100)
    assert relay.live() is not None
    assert relay.live() is not None


def test_a_relay_whose_calls_have_ended_accepts_calls_again_at_once() -> None:
    relay = overloaded()
    for _ in range(WINDOW_SECONDS):
        relay.end_second()
    assert relay.admission.refusal is None


def test_a_second_is_evaluated_once_however_often_figures_are_collected() -> None:
    relay = Relay()
    for _ in range(3):
        relay.live(late=100)
    for _ in range(10):
        relay.admission.evaluate(relay.second, relay.calls, LIMITS)
    assert relay.admission.refusal is None


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_calls_on_noisy_cores_are_not_refused(seed: int) -> None:
    chance, relay = random.Random(seed), Relay()
    late = 0
    for _ in range(300):
        hiccup = chance.random() < 0.1
        late += (here := chance.randint(5, 60) if hiccup else chance.randint(0, 2))
        assert relay.live(late=here, residence_ms=chance.uniform(1, 3), round_trip_ms=chance.uniform(1, 3)) is None
    assert 500 < late * 1_000_000 / (300 * 5000) < 1000


seconds = st.lists(
    st.tuples(st.integers(0, 200), st.floats(0.01, 80), st.floats(0.01, 80), st.booleans()), min_size=1, max_size=25
)


@given(seconds)
def test_a_slow_echo_or_a_late_source_never_makes_a_relay_refuse(lived: list[tuple[int, float, float, bool]]) -> None:
    relay = Relay(calls=30)
    for _, residence, round_trip, _ in lived:
        slower = max(residence, round_trip)
        assert relay.live(late=0, residence_ms=min(residence, slower), round_trip_ms=slower) is None


def test_eight_calls_on_a_busy_node_with_a_few_late_packets_in_every_second_are_not_refused() -> None:
    relay = Relay(calls=8)
    for second in range(60):
        assert relay.live(late=second % MIN_LATE, residence_ms=4, round_trip_ms=5) is None


@given(seconds)
def test_a_few_calls_are_never_refused(lived: list[tuple[int, float, float, bool]]) -> None:
    relay = Relay(calls=4)
    for late, residence, round_trip, _ in lived:
        assert relay.live(late=min(late, 200), residence_ms=residence, round_trip_ms=round_trip) is None


@given(seconds, st.booleans())
def test_after_any_history_a_relay_accepts_calls_again(
    lived: list[tuple[int, float, float, bool]], calls_end: bool
) -> None:
    relay = Relay(calls=30)
    for late, residence, round_trip, sends in lived:
        if sends:
            relay.live(late=late, residence_ms=residence, round_trip_ms=round_trip)
        else:
            relay.end_second()
    for _ in range(WINDOW_SECONDS + GOOD_SECONDS_TO_ACCEPT):
        if calls_end:
            relay.end_second()
        else:
            relay.live()
    assert relay.admission.refusal is None


@given(seconds)
def test_it_takes_two_evaluations_of_whole_windows_to_refuse(lived: list[tuple[int, float, float, bool]]) -> None:
    relay, bad_running = Relay(calls=30), 0
    for late, residence, round_trip, _ in lived:
        refused_before = relay.admission.refusal is not None
        refused = relay.live(late=late, residence_ms=residence, round_trip_ms=round_trip) is not None
        bad = late >= MIN_LATE or (residence >= round_trip and residence + round_trip > 15)
        bad_running = bad_running + 1 if bad else 0
        if refused and not refused_before:
            assert bad_running >= 4
