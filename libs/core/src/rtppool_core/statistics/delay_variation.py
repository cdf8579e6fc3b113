"""Delay variation by RFC 5481: IPDV from packet to packet, PDV against the shortest delay, and PDV as one number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rtppool_core.statistics.histogram import Histogram

PDV_PER_MILLE = 999


def inter_packet_delay_variation(delays: Iterable[int | None]) -> list[int | None]:
    """Each packet's delay less its predecessor's (4.1), in the delays' unit.

    `delays` are in order of sending, None for a lost packet. Undefined (None) for the first packet, for a lost one and
    for the packet after it.
    """
    found: list[int | None] = []
    before: int | None = None
    for delay in delays:
        found.append(None if delay is None or before is None else delay - before)
        before = delay
    return found


def packet_delay_variation(delays: Sequence[int | None]) -> list[int | None]:
    """Each packet's delay less the shortest of them all (4.2), in the delays' unit; None for a lost packet."""
    shortest = min((delay for delay in delays if delay is not None), default=0)
    return [None if delay is None else delay - shortest for delay in delays]


def pdv_p999_ns(delays: Histogram) -> int | None:
    """PDV as one number: the 99.9th percentile of the delays less the shortest (6.5, 11), in ns; None when empty."""
    quantile_ns = delays.quantile_ns(PDV_PER_MILLE)
    return None if quantile_ns is None or delays.min_ns is None else quantile_ns - delays.min_ns
