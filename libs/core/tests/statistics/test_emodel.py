"""ITU-T G.107: figures that two public implementations agree on, and bounds for any delay and loss."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.statistics import emodel
from rtppool_core.statistics.emodel import (
    G711_CONCEALED,
    G711_UNCONCEALED,
    MeasuredPath,
    delay_impairment,
    equipment_impairment,
    estimate,
    mos,
    r_factor,
)
from rtppool_core.statistics.histogram import Histogram

MS = 1_000_000
DELAYS_MS = st.floats(0, 5000)
LOSSES = st.floats(0, 100)


def test_default_values_give_the_recommendations_noise_and_signal_to_noise() -> None:
    assert emodel.noise_sum() == pytest.approx(-61.17921, abs=5e-6)
    assert emodel.signal_to_noise() == pytest.approx(94.7688, abs=5e-5)
    assert emodel.simultaneous_impairment(0) == pytest.approx(1.4136, abs=5e-5)


@pytest.mark.parametrize(
    ("delay_ms", "idte", "idle", "idd"),
    [(0, 0, 0.1490, 0), (20, 0.3919, 0.4321, 0), (150, 2.8118, 0.8407, 0.1635), (200, 3.5708, 0.9353, 3.0444)],
)
def test_delay_costs_what_talker_echo_listener_echo_and_absolute_delay_cost(
    delay_ms: float, idte: float, idle: float, idd: float
) -> None:
    found = delay_impairment(delay_ms)
    assert (found.idte, found.idle, found.idd) == pytest.approx((idte, idle, idd), abs=5e-5)
    assert found.total == pytest.approx(idte + idle + idd, abs=2e-4)


@pytest.mark.parametrize(
    ("loss_percent", "burst_ratio", "concealed", "unconcealed"),
    [
        (0, 1, 0, 0),
        (0.2, 1, 0.7510, 4.2222),
        (1, 1, 3.6398, 17.9245),
        (2, 1, 7.0111, 30.1587),
        (5, 2, 17.2101, 69.8529),
    ],
)
def test_loss_costs_more_in_bursts_and_without_concealment(
    loss_percent: float, burst_ratio: float, concealed: float, unconcealed: float
) -> None:
    assert equipment_impairment(loss_percent, burst_ratio, G711_CONCEALED) == pytest.approx(concealed, abs=5e-5)
    assert equipment_impairment(loss_percent, burst_ratio, G711_UNCONCEALED) == pytest.approx(unconcealed, abs=5e-5)


@pytest.mark.parametrize(
    ("delay_ms", "loss_percent", "burst_ratio", "r", "score"),
    [
        (0, 0, 1, 93.206, 4.409),
        (20, 0.2, 1, 91.780, 4.380),
        (150, 1, 1, 85.899, 4.226),
        (200, 2, 1, 78.794, 3.978),
        (0, 5, 2, 75.996, 3.864),
    ],
)
def test_r_and_mos_of_the_reference_table(
    delay_ms: float, loss_percent: float, burst_ratio: float, r: float, score: float
) -> None:
    found = r_factor(delay_ms, loss_percent, burst_ratio)
    assert found == pytest.approx(r, abs=5e-4)
    assert mos(found) == pytest.approx(score, abs=5e-4)


@pytest.mark.parametrize(
    ("r", "score"), [(0, 1), (50, 2.575), (60, 3.1), (70, 3.597), (80, 4.024), (90, 4.339), (100, 4.5), (120, 4.5)]
)
def test_reference_points_of_mos(r: float, score: float) -> None:
    assert mos(r) == pytest.approx(score, abs=5e-4)


@pytest.mark.parametrize("delay_ms", [20, 150, 200])
def test_the_simplified_delay_term_agrees_within_0_2(delay_ms: float) -> None:
    simplified = 0.024 * delay_ms + 0.11 * max(0, delay_ms - 177.3)
    assert delay_impairment(delay_ms).total - delay_impairment(0).total == pytest.approx(simplified, abs=0.21)


@given(DELAYS_MS, LOSSES, st.floats(1, 100))
def test_the_estimate_stays_inside_its_scales(delay_ms: float, loss_percent: float, burst_ratio: float) -> None:
    r = r_factor(delay_ms, loss_percent, burst_ratio)
    assert 0 <= r <= 100
    assert 1 <= mos(r) <= 4.5


@given(DELAYS_MS, LOSSES, LOSSES)
def test_more_loss_is_never_better(delay_ms: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert r_factor(delay_ms, more) <= r_factor(delay_ms, less)


def times_ms(*values: float) -> Histogram:
    filled = Histogram()
    for value in values:
        filled.record(round(value * 1_000_000))
    return filled


def path(**changes: Any) -> MeasuredPath:
    """Return 1000 packets of 20 ms with a round trip of 300 ms, without loss."""
    figures = {
        "round_trips": times_ms(*[300] * 1000),
        "source_variation": Histogram(),
        "packets": 1000,
        "source_lost": 0,
        "lost": 0,
        "burst_ratio": 1.0,
        "packet_ns": 20 * MS,
    }
    return MeasuredPath(**{**figures, **changes})


def delay_of(measured: MeasuredPath) -> float:
    """Return T in ms: R without loss falls with it, so a search finds it."""
    found = estimate(measured)
    assert found is not None
    low, high = 0.0, 5000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if r_factor(middle, 0) > found.r_factor else (low, middle)
    return low


def test_worked_example_of_300_ms_with_packets_of_20_ms() -> None:
    found = estimate(path())
    assert found is not None
    assert (found.r_factor, found.mos) == pytest.approx((84.6, 4.18), abs=0.05)
    assert delay_of(path()) == pytest.approx(210, abs=0.5)


@pytest.mark.parametrize(
    ("changes", "delay_ms"),
    [
        ({}, 150 + 20 + 40),
        ({"packet_ns": 40 * MS}, 150 + 40 + 80),
        ({"source_variation": times_ms(*[0] * 94, *[70] * 6)}, 150 + 20 + 70),
        ({"source_variation": times_ms(*[0] * 96, *[70] * 4)}, 150 + 20 + 40),
        ({"round_trips": times_ms(*[300] * 94, *[390] * 6)}, 150 + 20 + 90),
        ({"round_trips": times_ms(*[300] * 96, *[390] * 4)}, 150 + 20 + 40),
        (
            {"round_trips": times_ms(*[300] * 90, *[390] * 10), "source_variation": times_ms(*[0] * 90, *[100] * 10)},
            150 + 20 + 100,
        ),
    ],
)
def test_the_delay_is_half_the_round_trip_a_packet_and_the_larger_buffer(
    changes: dict[str, Any], delay_ms: float
) -> None:
    assert delay_of(path(**changes)) == pytest.approx(delay_ms, rel=0.017)


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        ({"lost": 20}, 0.02),
        ({"lost": 20, "lost_to_echo": 10, "lost_from_echo": 10}, 10 / 990),
        ({"lost": 20, "lost_to_echo": 20}, 0.02),
        ({"lost": 20, "lost_to_echo": 8, "lost_from_echo": 6}, 14 / 1000),
        ({"lost": 10, "lost_to_echo": 10, "source_lost": 1000}, 1010 / 2000),
        ({"lost": 1000, "lost_from_echo": 1000}, 1),
        ({"packets": 0, "lost": 0}, 0),
    ],
)
def test_heard_is_the_loss_of_the_worse_way_and_all_of_unknown_direction(changes: dict[str, Any], heard: float) -> None:
    assert path(**changes).heard_loss() == pytest.approx(heard)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_known_direction_never_worsens_the_estimate(
    source_lost: int, to_echo: int, from_echo: int, unknown: int
) -> None:
    lost = to_echo + from_echo + unknown
    figures: dict[str, Any] = {"packets": 3000, "source_lost": source_lost, "lost": lost}
    directed = path(**figures, lost_to_echo=to_echo, lost_from_echo=from_echo).heard_loss()
    assert 0 <= directed <= path(**figures).heard_loss() + 1e-12


def test_below_100_packets_there_is_no_estimate() -> None:
    assert estimate(path(packets=99)) is None
    assert estimate(path(packets=100)) is not None


def test_for_another_codec_there_is_no_estimate() -> None:
    assert estimate(path(packet_ns=None)) is None


def test_without_a_round_trip_there_is_no_estimate() -> None:
    assert estimate(path(round_trips=Histogram(), lost=1000)) is None
