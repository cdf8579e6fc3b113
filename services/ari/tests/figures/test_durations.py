"""Buckets of times, and the quantile that Prometheus interpolates from those of the round trip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.figures.durations import EDGES_US, ROUND_TRIP_EDGES_US, durations_of
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.stream_metrics import stream_metrics
from rtppool_relay.streams.steady_clock import SteadyClock

MS = 1_000_000
RANDOM = np.random.default_rng(13)
# What the edges were when version 1 was published: dashboards and alerts name them.
PUBLISHED = (
    *("5e-05", "0.0001", "0.0002", "0.0004", "0.0008", "0.0016", "0.0032", "0.005", "0.008", "0.01", "0.012", "0.015"),
    *("0.018", "0.02", "0.022", "0.05", "0.1", "0.2", "0.5", "1", "2", "+Inf"),
)
# The path of a packet adds some 60 µs to the delay of an echo.
CONSTANT = {f"constant {ms} ms": np.full(5000, ms * MS + 60_000) for ms in (1, 5, 20, 50, 200)}
DISTRIBUTIONS = CONSTANT | {
    "exactly 5 ms": np.full(5000, 5 * MS),
    "bimodal, 1 and 50 ms": np.repeat([MS + 60_000, 50 * MS + 60_000], [4700, 300]),
    "bimodal, 7 and 9 ms in equal parts": np.repeat([7 * MS, 9 * MS], 2500),
    "uniform from 1 to 20 ms": RANDOM.integers(MS, 20 * MS, 5000),
    "uniform from 30 to 300 ms": RANDOM.integers(30 * MS, 300 * MS, 5000),
}


def exposed(values_ns: Sequence[int] | np.ndarray) -> list[tuple[float, float]]:
    """Return the buckets of calls as a scrape has them: upper edge in seconds, cumulative count."""
    measurement = Measurement(SteadyClock())
    measurement.kinds["calls"].durations["round_trip"].observe(np.array(values_ns, np.int64))
    family = next(each for each in stream_metrics(measurement) if each.name == "rtp_relay_echo_rtt_seconds")
    buckets = [each for each in family.samples if each.name.endswith("_bucket") and each.labels["stream"] == "calls"]
    return [(float(each.labels["le"].replace("+Inf", "inf")), each.value) for each in buckets]


def histogram_quantile(quantile: float, buckets: Sequence[tuple[float, float]]) -> float:
    """Interpolate as Prometheus documents it: linearly in the bucket of the rank, whose first begins at 0."""
    rank = quantile * buckets[-1][1]
    at = next(number for number, (_, count) in enumerate(buckets) if count >= rank)
    if at == len(buckets) - 1:
        return buckets[-2][0]
    low, below = buckets[at - 1] if at else (0.0, 0.0)
    high, reached = buckets[at]
    return low + (high - low) * (rank - below) / (reached - below)


def nearest_rank_seconds(quantile: float, values_ns: Sequence[int] | np.ndarray) -> float:
    return float(sorted(values_ns)[math.ceil(quantile * len(values_ns)) - 1]) / 1e9


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_documented_query_is_right_to_10_percent(name: str, quantile: float) -> None:
    values_ns = DISTRIBUTIONS[name]
    found = histogram_quantile(quantile, exposed(values_ns))
    assert found == pytest.approx(nearest_rank_seconds(quantile, values_ns), rel=0.1)


@given(st.lists(st.integers(MS // 10 + 1, 500 * MS), min_size=1, max_size=200), st.floats(0.001, 1))
def test_any_quantile_of_any_round_trips_from_100_us_to_500_ms_is_right_to_10_percent(
    values_ns: list[int], quantile: float
) -> None:
    found = histogram_quantile(quantile, exposed(values_ns))
    assert found == pytest.approx(nearest_rank_seconds(quantile, values_ns), rel=0.1001)


def test_every_published_edge_is_still_an_edge_of_every_histogram() -> None:
    families = [each for each in stream_metrics(Measurement(SteadyClock())) if each.type == "histogram"]
    edges = {(each.name, sample.labels["le"]) for each in families for sample in each.samples if "le" in sample.labels}
    assert {name for name, _ in edges} == {"rtp_relay_echo_rtt_seconds", "rtp_relay_residence_seconds"}
    assert {(name, le) for name, _ in edges for le in PUBLISHED} <= edges


def test_the_narrow_edges_are_at_most_200_more_series_of_a_relay() -> None:
    measurement = Measurement(SteadyClock())
    for kind in measurement.kinds.values():
        for durations in kind.durations.values():
            durations.observe(np.array([MS], np.int64))
    samples = [sample for family in stream_metrics(measurement) for sample in family.samples]
    added = [sample for sample in samples if "le" in sample.labels and sample.labels["le"] not in PUBLISHED]
    assert 0 < len(added) <= 200


def test_neighbouring_edges_from_100_us_to_500_ms_have_a_ratio_of_at_most_1_1() -> None:
    edges = [edge for edge in ROUND_TRIP_EDGES_US if 100 <= edge <= 500_000]
    assert (edges[0], edges[-1]) == (100, 500_000)
    assert all(10 * high <= 11 * low for low, high in pairwise(edges))
    assert list(ROUND_TRIP_EDGES_US) == sorted(set(ROUND_TRIP_EDGES_US))


@given(st.sampled_from(["round_trip", "residence"]), st.lists(st.integers(0, 3_000 * MS), max_size=50))
def test_the_share_above_an_edge_is_exact(name: str, values_ns: list[int]) -> None:
    durations = durations_of(name)
    durations.observe(np.array(values_ns, np.int64))
    counts = durations.counts.cumsum().tolist()
    for edge_us in EDGES_US:
        at = durations.edges_us.index(edge_us)
        assert counts[at] == sum(value <= edge_us * 1000 for value in values_ns)
    assert durations.sum_ns == sum(values_ns)
