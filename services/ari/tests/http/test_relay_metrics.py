"""Metrics of the streams and of the window. A figure that was not measured has no sample."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client.core import Metric
from row_slot import MS, Slot, after, collect

from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.histogram import bucket_of
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.stream_metrics import by_cause, stream_metrics
from rtppool_relay.http.window_metrics import window_metrics
from rtppool_relay.streams.slices import Slice
from rtppool_relay.streams.statistics import StreamStatistics
from rtppool_relay.streams.steady_clock import SteadyClock


def values(metrics: list[Metric]) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
        if not sample.name.endswith("_bucket")
    }


def measured(slot: Slot, packets: int) -> Measurement:
    measurement = Measurement(SteadyClock())
    made = slot.statistics()
    statistics = StreamStatistics(made.reader, 8000, 3 * MS, measurement.clock)
    measurement.add_stream(0, "calls", statistics)
    collect(measurement, after(packets), 0)
    return measurement


def test_counters_are_born_at_zero_for_both_streams() -> None:
    found = values(list(stream_metrics(Measurement(SteadyClock()))))
    counters = {key[0] for key in found if key[0].endswith("_total")}
    assert all(found[key] == 0 for key in found)
    assert {(key[0], key[1]) for key in found if key[0] in counters} == {
        (name, stream) for name in counters for stream in ("calls", "probe")
    }
    assert "rtp_relay_directed_lost_packets_total" not in counters
    assert "rtp_relay_network_rtt_seconds_count" not in {key[0] for key in found}


def test_losses_bursts_and_the_echos_own_time_are_told() -> None:
    slot = Slot()
    for number in range(100):
        lost = number in {40, 41, 42}
        slot.row(
            number,
            None if lost else 5 * MS,
            echo_count=0 if lost else number + (1 if number < 40 else -1),
            echo_residence_ns=MS,
        )
    found = values(list(stream_metrics(measured(slot, 100))))
    assert found["rtp_relay_lost_packets_total", "calls"] == 3
    assert found["rtp_relay_loss_bursts_total", "calls"] == 1
    assert found["rtp_relay_burst_packets_total", "calls"] == found["rtp_relay_burst_lost_packets_total", "calls"] == 3
    ways = [found["rtp_relay_directed_lost_packets_total", "calls", way] for way in ("to_echo", "from_echo")]
    assert ways == [2, 1]
    assert found["rtp_relay_network_rtt_seconds_count", "calls"] == 97
    assert found["rtp_relay_network_rtt_seconds_sum", "calls"] == pytest.approx(97 * 0.004)
    assert found["rtp_relay_echo_residence_seconds_sum", "calls"] == pytest.approx(97 * 0.001)


def test_a_window_without_packets_says_nothing() -> None:
    assert values(list(window_metrics(Slice()))) == {}


def test_a_windows_gauges_are_in_seconds_ratios_and_packets() -> None:
    window = Slice(
        packets=1000,
        answered=990,
        reordered=1,
        max_reordering_extent=4,
        jitter_sum_us=300,
        jitter_count=3,
        max_jitter_us=150,
        source_jitter_sum_us=600,
        source_jitter_count=3,
        max_source_jitter_us=250,
        skew_sum_ppm=200,
        skew_count=2,
        g711_packets=990,
        g711_ns=990 * 20 * MS,
        skew_clamped=1,
        bursts=BurstCounts(10, 2, 1, 20, 8, 400 * MS, 1, 500, 10_000 * MS),
    )
    window.round_trip.add_buckets([(bucket_of(MS), 900), (bucket_of(3 * MS), 90)], MS, 3 * MS)
    found = values(list(window_metrics(window)))
    name = "rtp_relay_window"
    assert found[f"{name}_pdv_seconds", "echo"] == pytest.approx(0.002, rel=0.03)
    assert (found[f"{name}_jitter_seconds", "echo"], found[f"{name}_jitter_seconds", "source"]) == (1e-4, 2e-4)
    assert [found[f"{name}_max_jitter_seconds", leg] for leg in ("echo", "source")] == pytest.approx([1.5e-4, 2.5e-4])
    assert (found[f"{name}_loss_ratio", "burst"], found[f"{name}_loss_ratio", "gap"]) == (0.4, 2 / 980)
    assert (found[f"{name}_region_seconds", "burst"], found[f"{name}_region_seconds", "gap"]) == (0.4, 10)
    assert found[f"{name}_reordering_extent_packets",] == 4
    assert found[f"{name}_source_skew_ratio",] == pytest.approx(1e-4)
    assert found[f"{name}_source_skew_clamped",] == 1
    assert 85 < found[f"{name}_estimated_r_factor",] < 93.2
    assert 4 < found[f"{name}_estimated_mos",] < 4.41
    assert (f"{name}_pdv_seconds", "source") not in found


def test_quantiles_of_the_window_are_a_summary_the_type_that_may_have_them() -> None:
    window = Slice(packets=990, answered=990)
    window.round_trip.add_buckets([(bucket_of(MS), 900), (bucket_of(3 * MS), 90)], MS, 3 * MS)
    (quantiles,) = (each for each in window_metrics(window) if each.name == "rtp_relay_window_rtt_seconds")
    assert quantiles.type == "summary"
    found = {sample.labels["quantile"]: sample.value for sample in quantiles.samples}
    assert found == pytest.approx({"0.5": 0.001, "0.95": 0.003, "0.99": 0.003}, rel=0.02)
    assert not next(iter(window_metrics(Slice()))).samples


def test_what_the_echo_tells_is_counted_in_every_bucket_above_it() -> None:
    measurement = Measurement(SteadyClock())
    measurement.kinds["calls"].durations["network_round_trip"].observe(np.array([MS, 30 * MS], np.int64))
    family = next(each for each in stream_metrics(measurement) if each.name == "rtp_relay_network_rtt_seconds")
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert (buckets["0.0008"], buckets["0.0016"], buckets["0.05"], buckets["+Inf"]) == (0, 1, 2, 2)


def test_late_packets_have_the_cause_host_where_a_witness_watched() -> None:
    unwatched = Slice(packets=9, late_source=3, late_relay=2, late_echo=1)
    assert by_cause(unwatched) == {"source": 3, "relay": 2, "echo": 1}
    watched = Slice(packets=9, late_source=3, late_relay=2, late_echo=1, late_host=0, witnessed=9)
    assert by_cause(watched) == {"source": 3, "relay": 2, "echo": 1, "host": 0}
