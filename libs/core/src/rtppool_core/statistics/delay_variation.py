"""Packet delay variation (PDV) by RFC 5481 as one number."""

from __future__ import annotations

from rtppool_core.statistics.histogram import Histogram

PDV_PER_MILLE = 999


def pdv_p999_ns(delays: Histogram) -> int | None:
    """Return the 99.9th percentile of the delays less the shortest (6.5, 11), in ns; None when there are none."""
    quantile_ns = delays.quantile_ns(PDV_PER_MILLE)
    return None if quantile_ns is None or delays.min_ns is None else quantile_ns - delays.min_ns
