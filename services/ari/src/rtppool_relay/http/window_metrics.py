"""Metrics of the SLA's window over calls that counters can't provide."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from rtppool_core.statistics.histogram import PDV_PER_MILLE
from rtppool_relay.streams.slices import Slice

QUANTILES = ((500, "0.5"), (950, "0.95"), (990, "0.99"))
NS_PER_SECOND = 1e9
US_PER_SECOND = 1e6


def window_metrics(window: Slice) -> Iterable[Metric]:
    """Yield a summary and gauges. A figure that was not measured has no sample."""
    quality = window.estimate()
    bursts = window.bursts
    outside = window.expected - bursts.burst_packets
    yield _summary(
        *("rtp_relay_window_rtt_seconds", "Round trips of calls in the SLA's window."),
        {label: _seconds(window.round_trip.quantile_ns(per_mille)) for per_mille, label in QUANTILES},
    )
    yield _gauge(
        *("rtp_relay_window_pdv_seconds", "99.9th percentile of the delay less the shortest (RFC 5481).", "leg"),
        {
            "echo": _seconds(window.round_trip.pdv_ns()),
            "source": _seconds(window.source_variation.quantile_ns(PDV_PER_MILLE)),
        },
    )
    yield _gauge(
        *("rtp_relay_window_jitter_seconds", "Mean of the packets' interarrival jitter (RFC 3550).", "leg"),
        {
            "echo": _over(window.jitter_sum_us, window.jitter_count, US_PER_SECOND),
            "source": _over(window.source_jitter_sum_us, window.source_jitter_count, US_PER_SECOND),
        },
    )
    yield _gauge(
        *("rtp_relay_window_max_jitter_seconds", "Largest interarrival jitter of a packet (RFC 3550).", "leg"),
        {
            "echo": window.max_jitter_us / US_PER_SECOND if window.jitter_count else None,
            "source": window.max_source_jitter_us / US_PER_SECOND if window.source_jitter_count else None,
        },
    )
    yield _gauge(
        *("rtp_relay_window_loss_ratio", "Share of packets lost in bursts and in gaps (RFC 3611).", "region"),
        {
            "burst": _over(bursts.burst_lost, bursts.burst_packets),
            "gap": _over(bursts.lost - bursts.burst_lost, outside),
        },
    )
    yield _gauge(
        *("rtp_relay_window_region_seconds", "Mean length of bursts of loss and of gaps between them.", "region"),
        {"burst": _seconds(bursts.mean_burst_ns()), "gap": _seconds(bursts.mean_gap_ns())},
    )
    yield _gauge(
        *("rtp_relay_window_reordering_extent_packets", "Largest extent of reordering (RFC 4737).", None),
        {"": float(window.max_reordering_extent) if window.answered else None},
    )
    yield _gauge(
        *("rtp_relay_window_source_skew_ratio", "How much slower than ours Asterisk's clock runs.", None),
        {"": _over(window.skew_sum_ppm, window.skew_count, 1e6)},
    )
    clamped = window.is_skew_clamped()
    yield _gauge(
        *("rtp_relay_window_source_skew_clamped", "1 where a source's skew is beyond 500 ppm.", None),
        {"": None if clamped is None else float(clamped)},
    )
    yield _gauge(
        *("rtp_relay_window_estimated_r_factor", "R of the E-model (G.107), estimated.", None),
        {"": quality.r_factor if quality else None},
    )
    yield _gauge(
        *("rtp_relay_window_estimated_mos", "MOS of the E-model (G.107), estimated.", None),
        {"": quality.mos if quality else None},
    )


def _summary(name: str, text: str, values: dict[str, float | None]) -> Metric:
    """Return a summary, the only type whose samples may have the label `quantile`. It has no sum and no count."""
    family = Metric(name, text, "summary")
    for quantile, value in values.items():
        if value is not None:
            family.add_sample(name, {"quantile": quantile}, value)
    return family


def _gauge(name: str, text: str, label: str | None, values: dict[str, float | None]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label] if label else [])
    for of, value in values.items():
        if value is not None:
            family.add_metric([of] if label else [], value)
    return family


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / NS_PER_SECOND


def _over(total: float, count: int, unit: float = 1.0) -> float | None:
    return total / count / unit if count > 0 else None
