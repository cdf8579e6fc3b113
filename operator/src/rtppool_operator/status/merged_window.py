"""The windows of several relays as one: the figures that the status shows under `latency`.

Counts and histograms are added, so that a quantile is that of all packets. Quantiles and estimates are never averaged.
Figures that do not add (jitter, skew, the extent of reordering) are the worst relay's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_core.contract.report import HistogramExport, Report, WindowReport, import_bursts
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.emodel import Estimate, MeasuredPath, estimate
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import NS_PER_US, microseconds_up, parts_per_million

HUNDREDTHS = 100
MAX_SHARE_PPM = (1 << 31) - 1
# Figures of the worst relay.
WORST = {
    "jitterMicroseconds": "jitter_microseconds",
    "maxJitterMicroseconds": "jitter_max_microseconds",
    "sourceJitterMicroseconds": "source_jitter_microseconds",
    "maxSourceJitterMicroseconds": "source_jitter_max_microseconds",
    "sourceSkewClamped": "skew_clamped",
}


def merge_latency(reports: Iterable[Report]) -> dict[str, dict[str, int]]:
    """Return the merged windows of calls and of the probe, without one that no relay has."""
    each = [report.windows for report in reports]
    found = {name: _present(each, name) for name in ("calls", "probe")}
    return {name: merge_windows(windows) for name, windows in found.items() if windows}


def merge_windows(windows: list[WindowReport]) -> dict[str, int]:
    """Return integers with their unit in the name. Figures that no relay measured are left out.

    During an edit of the window's length, relays report different lengths: the longest is shown.
    """
    times = {name: _merged(_present(windows, name)) for name in TIMES}
    figures: dict[str, int | None] = {
        "samples": _sum(windows, "packets"),
        "windowSeconds": max((window.end_unix_seconds - window.start_unix_seconds for window in windows), default=None),
        "maxMicroseconds": microseconds_up(times["round_trip"].max_ns),
        "pdvMicroseconds": _microseconds(times["round_trip"].pdv_ns()),
        **{
            field: microseconds_up(times[name].quantile_ns(per_mille))
            for name, of in TIMES.items()
            for field, per_mille in of.quantiles.items()
        },
        **{
            count.share: _ppm(_sum(windows, name), sum(_sum(windows, whole) for whole in count.of))
            for name, count in COUNTS.items()
        },
        **_losses(windows),
        **_lateness(windows),
        **{field: max(_present(windows, name), default=None) for field, name in WORST.items()},
        "sourceSkewPpm": max(_present(windows, "skew_ppm"), key=abs, default=None),
        "maxReorderingExtent": max((each.max_extent for each in _present(windows, "reordering")), default=None),
        **_bursts_and_estimates(windows, times),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _losses(windows: list[WindowReport]) -> dict[str, int | None]:
    """Return the shares of lost packets. Directions are known where the echo fills the header extension."""
    directed = _present(windows, "directed_loss")
    packets = sum(window.packets for window in windows if window.directed_loss is not None)
    return {
        "lossPpm": _ppm(_sum(windows, "lost"), _sum(windows, "packets")),
        "lossToEchoPpm": _ppm(_sum(directed, "to_echo"), packets),
        "lossFromEchoPpm": _ppm(_sum(directed, "from_echo"), packets),
        "lossUndeterminedPpm": _ppm(_sum(directed, "undetermined"), packets),
    }


def _lateness(windows: list[WindowReport]) -> dict[str, int | None]:
    """Return the shares of late packets. The host's is of the packets of relays that can tell.

    Without a variation of the source, nothing was compared with the RTP clock.
    """
    compared = [window for window in windows if window.source_variation is not None]
    witnessed = [window for window in compared if window.late.host is not None]
    packets, late = _sum(compared, "packets"), [window.late for window in compared]
    return {
        "latePpm": _ppm(_sum(late, "counted"), packets),
        "sourceLatePpm": _ppm(_sum(late, "source"), packets),
        "hostLatePpm": _ppm(sum(_present(late, "host")), _sum(witnessed, "packets")),
    }


def _bursts_and_estimates(windows: list[WindowReport], times: dict[str, Histogram]) -> dict[str, int | None]:
    exports = _present(windows, "bursts")
    expected = _sum(exports, "expected")
    bursts = BurstCounts()
    for export in exports:
        bursts.add(import_bursts(export))
    quality = _estimate(windows, times, bursts.burst_ratio(expected))
    return {
        "lossBursts": bursts.bursts if expected else None,
        "burstLossPpm": _ppm(bursts.burst_lost, bursts.burst_packets),
        "gapLossPpm": _ppm(bursts.lost - bursts.burst_lost, expected - bursts.burst_packets),
        "burstMicroseconds": _microseconds(bursts.mean_burst_ns()),
        "gapMicroseconds": _microseconds(bursts.mean_gap_ns()),
        "estimatedRFactor": round(quality.r_factor) if quality else None,
        "estimatedMosHundredths": round(quality.mos * HUNDREDTHS) if quality else None,
    }


def _estimate(windows: list[WindowReport], times: dict[str, Histogram], burst_ratio: float) -> Estimate | None:
    directed = _present(windows, "directed_loss")
    return estimate(
        MeasuredPath(
            round_trips=times["round_trip"],
            source_variation=times["source_variation"],
            packets=_sum(windows, "packets"),
            source_lost=_sum(windows, "source_lost"),
            lost=_sum(windows, "lost"),
            burst_ratio=burst_ratio,
            packet_ns=_packet_ns([window for window in windows if window.answered]),
            lost_to_echo=_sum(directed, "to_echo"),
            lost_from_echo=_sum(directed, "from_echo"),
        )
    )


def _packet_ns(answered: list[WindowReport]) -> int | None:
    """Return the mean media of a G.711 packet; None where a relay has another codec, or does not report it."""
    media_us = [window.answered * (window.g711_packet_microseconds or 0) for window in answered]
    return sum(media_us) * NS_PER_US // _sum(answered, "answered") if answered and all(media_us) else None


def _present(reports: Iterable[Any], name: str) -> list[Any]:
    """Return the values of a figure at the relays that measured it."""
    return [value for report in reports if (value := getattr(report, name)) is not None]


def _sum(reports: Iterable[Any], name: str) -> int:
    return sum(getattr(report, name) for report in reports)


def _merged(exports: Iterable[HistogramExport]) -> Histogram:
    histogram = Histogram()
    for export in exports:
        # Scheme and buckets were checked with the report, so no histogram is made in between.
        histogram.add_buckets(export.counts, export.min_ns, export.max_ns)
    return histogram


def _ppm(part: int, whole: int) -> int | None:
    # A faulty relay must not make the status unwritable: the CRD gives a share 32 bits.
    ppm = parts_per_million(part, whole) if whole > 0 else None
    return None if ppm is None else max(0, min(ppm, MAX_SHARE_PPM))


def _microseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else round(nanoseconds / NS_PER_US)
