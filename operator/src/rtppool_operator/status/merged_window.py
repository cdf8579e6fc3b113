"""The windows of several relays as one: what the status shows under `latency`. Pure.

Counts and histograms are added, so that a quantile is that of all packets; quantiles and estimates are never averaged.
What can't be added (jitter, skew, the extent of reordering) is the worst relay's.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtppool_core.contract.report import HistogramExport, WindowReport, import_bursts
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.delay_variation import PDV_PER_MILLE, pdv_p999_ns
from rtppool_core.statistics.emodel import estimate
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import NS_PER_US

PER_MILLION = 1_000_000
HUNDREDTHS = 100
MAX_SHARE_PPM = (1 << 31) - 1


def merge_windows(windows: list[WindowReport]) -> dict[str, int]:
    """Integers with their unit in the name; what was not measured is left out.

    While an edit of the window's length is on its way, the longest that a relay still reports is shown.
    """
    round_trips = _added(window.round_trip for window in windows)
    figures: dict[str, int | None] = {
        "samples": sum(window.packets for window in windows),
        "windowSeconds": _worst(window.end_unix_seconds - window.start_unix_seconds for window in windows),
        "p50Microseconds": _quantile(round_trips, 500),
        "p95Microseconds": _quantile(round_trips, 950),
        "p99Microseconds": _quantile(round_trips, 990),
        "maxMicroseconds": _microseconds(round_trips.max_ns),
        "pdvMicroseconds": _microseconds(pdv_p999_ns(round_trips)),
        **_times(windows),
        **_shares(windows),
        **_lags(windows),
        **_bursts_and_estimates(windows, round_trips),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _times(windows: list[WindowReport]) -> dict[str, int | None]:
    residences = _added(window.residence for window in windows)
    echo = _added(window.echo_residence for window in windows)
    network = _added(window.network_round_trip for window in windows)
    source = _added(window.source_variation for window in windows)
    skews = [window.skew_ppm for window in windows if window.skew_ppm is not None]
    return {
        "jitterMicroseconds": _worst(window.jitter_microseconds for window in windows),
        "sourceJitterMicroseconds": _worst(window.source_jitter_microseconds for window in windows),
        "sourcePdvMicroseconds": _quantile(source, PDV_PER_MILLE),
        "sourceSkewPpm": max(skews, key=abs, default=None),
        "residenceP99Microseconds": _quantile(residences, 990),
        "echoResidenceP99Microseconds": _quantile(echo, 990),
        "networkP50Microseconds": _quantile(network, 500),
        "networkP99Microseconds": _quantile(network, 990),
    }


def _shares(windows: list[WindowReport]) -> dict[str, int | None]:
    packets = sum(window.packets for window in windows)
    answered = sum(window.answered for window in windows)
    source_lost = sum(window.source_lost for window in windows)
    return {
        "latePpm": _ppm(sum(window.late.relay + window.late.echo for window in windows), packets),
        "sourceLatePpm": _ppm(sum(window.late.source for window in windows), packets),
        "lossPpm": _ppm(sum(window.lost for window in windows), packets),
        "sourceLossPpm": _ppm(source_lost, packets + source_lost),
        "tooLatePpm": _ppm(sum(window.too_late for window in windows), packets),
        "duplicatePpm": _ppm(sum(window.duplicates for window in windows), packets),
        "reorderedPpm": _ppm(sum(window.reordered for window in windows), answered),
        "maxReorderingExtent": _worst(
            window.reordering.max_extent for window in windows if window.reordering is not None
        ),
        "dscpChangedPpm": _ppm(sum(window.dscp_changed for window in windows), packets),
        "sourceDscpMismatchPpm": _ppm(sum(window.source_dscp_mismatches for window in windows), packets),
    }


def _lags(windows: list[WindowReport]) -> dict[str, int | None]:
    """Loss by its way, over the relays whose echo tells it."""
    told = [(window.packets, window.directed_loss) for window in windows if window.directed_loss is not None]
    packets = sum(number for number, _ in told)
    return {
        "lossToEchoPpm": _ppm(sum(ways.to_echo for _, ways in told), packets),
        "lossFromEchoPpm": _ppm(sum(ways.from_echo for _, ways in told), packets),
        "lossUndeterminedPpm": _ppm(sum(ways.undetermined for _, ways in told), packets),
    }


def _bursts_and_estimates(windows: list[WindowReport], round_trips: Histogram) -> dict[str, int | None]:
    exports = [window.bursts for window in windows if window.bursts is not None]
    expected = sum(export.expected for export in exports)
    bursts = BurstCounts()
    for export in exports:
        bursts.add(import_bursts(export))
    lost = sum(window.lost + window.source_lost for window in windows)
    quality = estimate(round_trips, expected, lost, bursts.burst_ratio(expected))
    return {
        "lossBursts": bursts.bursts if expected else None,
        "burstLossPpm": _ppm(bursts.burst_lost, bursts.burst_packets),
        "gapLossPpm": _ppm(bursts.lost - bursts.burst_lost, expected - bursts.burst_packets),
        "burstMicroseconds": _microseconds(bursts.mean_burst_ns()),
        "gapMicroseconds": _microseconds(bursts.mean_gap_ns()),
        "estimatedRFactor": round(quality.r_factor) if quality else None,
        "estimatedMosHundredths": round(quality.mos * HUNDREDTHS) if quality else None,
    }


def _added(exports: Iterable[HistogramExport | None]) -> Histogram:
    histogram = Histogram()
    for export in exports:
        if export is not None:
            # Its scheme and buckets were looked at when it came (report_bounds), so no histogram is made between.
            histogram.add_buckets(export.counts, export.min_ns, export.max_ns)
    return histogram


def _worst(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _ppm(part: int, whole: int) -> int | None:
    # Counts of one garbage relay must not make the whole status unwritable: the definition has 32 bits for a share.
    return max(0, min(part * PER_MILLION // whole, MAX_SHARE_PPM)) if whole > 0 else None


def _quantile(histogram: Histogram, per_mille: int) -> int | None:
    return _microseconds(histogram.quantile_ns(per_mille))


def _microseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else round(nanoseconds / NS_PER_US)
