"""Windows of several relays as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rtppool_core.contract.report import (
    DirectedLossReport,
    LateByCause,
    ReorderingReport,
    WindowReport,
    export_bursts,
    export_histogram,
)
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.emodel import r_factor
from rtppool_core.statistics.histogram import Histogram
from rtppool_operator.status.merged_window import merge_windows

MakeWindow = Callable[..., WindowReport]


def histogram(*values_us: int) -> Histogram:
    filled = Histogram()
    for value in values_us:
        filled.record(value * 1000)
    return filled


def window(*round_trips_us: int, **changes: Any) -> WindowReport:
    packets = len(round_trips_us)
    empty = WindowReport(
        start_unix_seconds=0,
        end_unix_seconds=60,
        packets=packets,
        answered=packets,
        lost=0,
        late=LateByCause(),
        reordered=0,
        duplicates=0,
        too_late=0,
    )
    return replace(empty, round_trip=export_histogram(histogram(*round_trips_us)), **changes)


def test_what_was_not_measured_is_left_out() -> None:
    assert set(merge_windows([window(100, 100)])) == {
        *("samples", "windowSeconds", "p50Microseconds", "p95Microseconds", "p99Microseconds", "maxMicroseconds"),
        *("pdvMicroseconds", "lossPpm", "sourceLossPpm", "tooLatePpm", "duplicatePpm"),
        *("reorderedPpm", "dscpChangedPpm", "sourceDscpMismatchPpm"),
    }


def test_lateness_is_that_of_packets_that_were_compared_with_the_rtp_clock() -> None:
    late = LateByCause(source=1, relay=2, echo=0, judged=2)
    compared = window(100, 100, 100, 100, source_variation=export_histogram(histogram(10)), late=late)
    merged = merge_windows([compared, window(*[100] * 96)])
    assert (merged["latePpm"], merged["sourceLatePpm"]) == (500_000, 250_000)
    assert "latePpm" not in merge_windows([window(100, 100)])


def test_a_skew_beyond_the_clamp_at_any_relay_is_marked() -> None:
    skewed = [window(100, skew_ppm=-3, skew_clamped=False), window(100, skew_ppm=500, skew_clamped=True)]
    merged = merge_windows(skewed)
    assert (merged["sourceSkewPpm"], merged["sourceSkewClamped"]) == (500, True)
    assert merge_windows(skewed[:1])["sourceSkewClamped"] is False
    assert "sourceSkewClamped" not in merge_windows([window(100)])


def test_jitter_is_the_largest_mean_and_the_largest_of_a_packet() -> None:
    windows = [
        window(100, jitter_microseconds=10, jitter_max_microseconds=90),
        window(100, jitter_microseconds=20, jitter_max_microseconds=30, source_jitter_max_microseconds=5),
    ]
    merged = merge_windows(windows)
    assert (merged["jitterMicroseconds"], merged["maxJitterMicroseconds"]) == (20, 90)
    assert merged["maxSourceJitterMicroseconds"] == 5


def test_delay_variation_is_that_of_all_packets() -> None:
    merged = merge_windows([window(*[1000] * 10), window(*[5000] * 10)])
    assert merged["pdvMicroseconds"] == pytest.approx(4000, rel=0.016)


def test_shares_are_of_all_packets_and_answers() -> None:
    relays = [window(*[100] * 500, reordered=1, too_late=2, dscp_changed=5), window(*[100] * 500, duplicates=3)]
    merged = merge_windows(relays)
    shares = ("reorderedPpm", "tooLatePpm", "duplicatePpm", "dscpChangedPpm", "sourceDscpMismatchPpm")
    assert [merged[name] for name in shares] == [1000, 2000, 3000, 5000, 0]


def test_shares_and_times_are_rounded_up_as_in_a_relay() -> None:
    compared = export_histogram(histogram(10))
    late = replace(window(), packets=19_999, late=LateByCause(relay=12, echo=8), source_variation=compared)
    assert merge_windows([late])["latePpm"] == 1001
    lost = replace(window(), packets=1_500_000, lost=1, source_lost=1, late=LateByCause(source=1))
    merged = merge_windows([replace(lost, source_variation=compared)])
    assert [merged[name] for name in ("lossPpm", "sourceLossPpm", "sourceLatePpm", "duplicatePpm")] == [1, 1, 1, 0]
    times = Histogram()
    times.record(18_000_001)
    merged = merge_windows([replace(window(), round_trip=export_histogram(times))])
    assert [merged[f"{name}Microseconds"] for name in ("p50", "p99", "max")] == [18_001] * 3


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), min_size=1, max_size=5), st.integers(0, 10**6))
def test_a_share_of_a_pool_is_above_a_limit_exactly_when_its_ppm_are(relays: list[tuple[int, int]], limit: int) -> None:
    windows = [replace(window(), packets=lost + rest, lost=lost) for lost, rest in relays]
    lost, packets = sum(each.lost for each in windows), sum(each.packets for each in windows)
    assert (merge_windows(windows)["lossPpm"] > limit) is (lost * 1_000_000 > limit * packets)


def test_what_can_not_be_added_is_the_worst_relays() -> None:
    relays = [
        window(100, skew_ppm=20, source_jitter_microseconds=9, reordering=ReorderingReport(4, 62, 1)),
        window(100, skew_ppm=-150, source_jitter_microseconds=8, reordering=ReorderingReport(2, 99, 2)),
    ]
    merged = merge_windows(relays)
    assert (merged["sourceSkewPpm"], merged["sourceJitterMicroseconds"], merged["maxReorderingExtent"]) == (-150, 9, 4)


def test_ways_of_loss_are_over_the_relays_whose_echo_tells_them() -> None:
    told = window(
        *[100] * 100, directed_loss=DirectedLossReport(3, 2, 1), echo_residence=export_histogram(histogram(40))
    )
    merged = merge_windows([told, window(*[100] * 900)])
    assert [merged[f"loss{way}Ppm"] for way in ("ToEcho", "FromEcho", "Undetermined")] == [30_000, 20_000, 10_000]
    assert merged["echoResidenceP99Microseconds"] == 40


def test_the_estimate_is_of_the_merged_figures_and_worse_with_loss() -> None:
    clean = window(*[300_000] * 1000, g711_packet_microseconds=20_000, bursts=export_bursts(BurstCounts(), 1000))
    holed = replace(clean, lost=50, bursts=export_bursts(BurstCounts(lost=50, runs=10), 1050))
    assert merge_windows([clean])["estimatedRFactor"] == 85
    assert merge_windows([clean])["estimatedMosHundredths"] == 418
    assert merge_windows([clean, holed])["estimatedRFactor"] < 85


def test_the_estimate_has_the_mean_packet_time_and_the_buffer_of_all_arrivals() -> None:
    short = window(*[1000] * 1000, g711_packet_microseconds=20_000)
    long = window(*[1000] * 1000, g711_packet_microseconds=60_000)
    varied = replace(long, source_variation=export_histogram(histogram(*[200_000] * 1000)))
    rated = [merge_windows(each)["estimatedRFactor"] for each in ([short], [short, long], [long], [long, varied])]
    assert rated == [round(r_factor(delay_ms, 0)) for delay_ms in (60.5, 120.5, 180.5, 260.5)]


def test_loss_of_each_way_is_heard_once_where_the_echoes_reveal_it() -> None:
    lossy = window(*[1000] * 980, packets=1000, lost=20, g711_packet_microseconds=20_000)
    known = replace(lossy, directed_loss=DirectedLossReport(10, 10, 0))
    rated = [merge_windows([each])["estimatedRFactor"] for each in (lossy, known)]
    assert rated == [round(r_factor(60.5, 2)), round(r_factor(60.5, 100 * 10 / 990))]


def test_a_pool_is_not_rated_below_100_packets_or_where_a_relay_does_not_report_g711() -> None:
    rated = window(*[1000] * 100, g711_packet_microseconds=20_000)
    assert "estimatedRFactor" in merge_windows([rated])
    assert "estimatedRFactor" not in merge_windows([window(*[1000] * 99, g711_packet_microseconds=20_000)])
    assert "estimatedRFactor" not in merge_windows([rated, window(*[1000] * 100)])
    unanswered = replace(window(), packets=100, lost=100)
    assert "estimatedRFactor" in merge_windows([rated, unanswered])


COUNTS = st.builds(BurstCounts, *(st.integers(0, 1000) for _ in range(9)))


@given(st.lists(COUNTS, min_size=1, max_size=5))
def test_bursts_of_relays_are_one_sum(shards: list[BurstCounts]) -> None:
    whole = BurstCounts()
    for shard in shards:
        whole.add(shard)
    relays = [window(100, bursts=export_bursts(shard, 100_000)) for shard in shards]
    together = window(*[100] * len(shards), bursts=export_bursts(whole, 100_000 * len(shards)))
    assert merge_windows(relays) == merge_windows([together])


def test_the_definition_has_every_figure_and_no_other(definition: dict[str, Any]) -> None:
    times = export_histogram(histogram(100, 200))
    full = window(
        *(100, 200),
        packets=100,
        g711_packet_microseconds=20_000,
        lost=2,
        late=LateByCause(host=1),
        jitter_microseconds=1,
        jitter_max_microseconds=1,
        source_jitter_microseconds=1,
        source_jitter_max_microseconds=1,
        skew_ppm=1,
        skew_clamped=False,
        reordering=ReorderingReport(1, 1, 1),
        directed_loss=DirectedLossReport(1, 1, 0),
        bursts=export_bursts(BurstCounts(2, 1, 1, 2, 2, 40, 1, 2, 40), 4),
        residence=times,
        source_variation=times,
        echo_residence=times,
        network_round_trip=times,
    )
    status = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    latency = status["properties"]["latency"]["properties"]
    assert set(merge_windows([full])) == set(latency["calls"]["properties"])
    assert latency["probe"]["properties"] == latency["calls"]["properties"]
