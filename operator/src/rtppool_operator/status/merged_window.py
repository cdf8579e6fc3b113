"""The windows of several relays as one: the figures that the status shows under `latency`.

Counts and histograms are added, so that a quantile is that of all packets. Quantiles and estimates are never averaged.
Figures that do not add (jitter, skew, the extent of reordering) are the worst relay's.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_core.contract.report import Report, WindowReport, import_bursts
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.emodel import Estimate, MeasuredPath, estimate
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import NS_PER_US, microseconds_up, parts_per_million

HUNDREDTHS = 100
MAX_SHARE_PPM = (1 << 31) - 1


def merge_latency(reports: Iterable[Report]) -> dict[str, dict[str, int]]:
    """Return the merged windows of calls and of the probe, without one that no relay has."""
    held = list(reports)
    calls = [report.windows.calls for report in held if report.windows.calls is not None]
    probe = [report.windows.probe for report in held if report.windows.probe is not None]
    return {name: merge_windows(windows) for name, windows in (("calls", calls), ("probe", probe)) if windows}


def merge_windows(windows: list[WindowReport]) -> dict[str, int]:
    """Return integers with their unit in the name. Figures that no relay measured are left out.

    During an edit of the window's length, relays report different lengths: the longest is shown.
    """
    times = {name: _merged(windows, name) for name in TIMES}
    figures: dict[str, int | None] = {
        "samples": _sum(windows, "packets"),
        "windowSeconds": _worst(window.end_unix_seconds - window.start_unix_seconds for window in windows),
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
        **_losses_and_lateness(windows),
        **_worst_relays(windows),
        **_bursts_and_estimates(windows, times),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _losses_and_lateness(windows: list[WindowReport]) -> dict[str, int | None]:
    packets = _sum(windows, "packets")
    # Directions are known where the echo fills the header extension.
    directed = [(window.packets, window.directed_loss) for window in windows if window.directed_loss is not None]
    directed_packets = sum(number for number, _ in directed)
    return {
        "lossPpm": _ppm(_sum(windows, "lost"), packets),
        "lossToEchoPpm": _ppm(sum(loss.to_echo for _, loss in directed), directed_packets),
        "lossFromEchoPpm": _ppm(sum(loss.from_echo for _, loss in directed), directed_packets),
        "lossUndeterminedPpm": _ppm(sum(loss.undetermined for _, loss in directed), directed_packets),
        **_lateness(windows),
    }


def _lateness(windows: list[WindowReport]) -> dict[str, int | None]:
    """Return the shares of late packets. Without a variation of the source, nothing was compared with the RTP clock."""
    compared = [window for window in windows if window.source_variation is not None]
    packets = _sum(compared, "packets")
    return {
        "latePpm": _ppm(sum(window.late.counted for window in compared), packets),
        "sourceLatePpm": _ppm(sum(window.late.source for window in compared), packets),
        "hostLatePpm": _host_late_ppm(compared),
    }


def _host_late_ppm(windows: list[WindowReport]) -> int | None:
    """Return the host's share of the packets of relays that can tell."""
    witnessed = [(window.packets, window.late.host) for window in windows if window.late.host is not None]
    return _ppm(sum(late for _, late in witnessed), sum(packets for packets, _ in witnessed))


def _worst_relays(windows: list[WindowReport]) -> dict[str, int | None]:
    skews = [window.skew_ppm for window in windows if window.skew_ppm is not None]
    clamped = [window.skew_clamped for window in windows if window.skew_clamped is not None]
    extents = (window.reordering.max_extent for window in windows if window.reordering is not None)
    return {
        "jitterMicroseconds": _worst(window.jitter_microseconds for window in windows),
        "maxJitterMicroseconds": _worst(window.jitter_max_microseconds for window in windows),
        "sourceJitterMicroseconds": _worst(window.source_jitter_microseconds for window in windows),
        "maxSourceJitterMicroseconds": _worst(window.source_jitter_max_microseconds for window in windows),
        "sourceSkewPpm": max(skews, key=abs, default=None),
        "sourceSkewClamped": max(clamped, default=None),
        "maxReorderingExtent": _worst(extents),
    }


def _bursts_and_estimates(windows: list[WindowReport], times: dict[str, Histogram]) -> dict[str, int | None]:
    exports = [window.bursts for window in windows if window.bursts is not None]
    expected = sum(export.expected for export in exports)
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
    directed = [window.directed_loss for window in windows if window.directed_loss is not None]
    return estimate(
        MeasuredPath(
            round_trips=times["round_trip"],
            source_variation=times["source_variation"],
            packets=_sum(windows, "packets"),
            source_lost=_sum(windows, "source_lost"),
            lost=_sum(windows, "lost"),
            burst_ratio=burst_ratio,
            packet_ns=_packet_ns(windows),
            lost_to_echo=sum(loss.to_echo for loss in directed),
            lost_from_echo=sum(loss.from_echo for loss in directed),
        )
    )


def _packet_ns(windows: list[WindowReport]) -> int | None:
    """Return the mean media of a G.711 packet; None where a relay has another codec, or does not report it."""
    answered = [window for window in windows if window.answered]
    media_us = [
        window.answered * window.g711_packet_microseconds for window in answered if window.g711_packet_microseconds
    ]
    if not answered or len(media_us) < len(answered):
        return None
    return sum(media_us) * NS_PER_US // _sum(answered, "answered")


def _sum(windows: list[WindowReport], name: str) -> int:
    return sum(getattr(window, name) for window in windows)


def _merged(windows: list[WindowReport], name: str) -> Histogram:
    histogram = Histogram()
    for window in windows:
        export = getattr(window, name)
        if export is not None:
            # report_bounds has checked scheme and buckets, so no histogram is made in between.
            histogram.add_buckets(export.counts, export.min_ns, export.max_ns)
    return histogram


def _worst(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _ppm(part: int, whole: int) -> int | None:
    # A faulty relay must not make the status unwritable: the CRD gives a share 32 bits.
    ppm = parts_per_million(part, whole) if whole > 0 else None
    return None if ppm is None else max(0, min(ppm, MAX_SHARE_PPM))


def _microseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else round(nanoseconds / NS_PER_US)
