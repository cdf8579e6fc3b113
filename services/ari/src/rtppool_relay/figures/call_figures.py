"""The figures of one call."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from rtppool_core.contract.report import SlaReport, SlaResult, SlaViolation, StreamFigures
from rtppool_core.units import microseconds_up
from rtppool_relay.streams.slices import Slice, export_figures, microseconds


class CallFigures(StreamFigures, frozen=True, kw_only=True):
    """Figures of a call from its first packet on. What was not measured is None.

    `p50_microseconds` to `max_microseconds` are of the round trip. Residences are the relay's and the echo's; `network`
    is the round trip without the echo's residence. `dropped` counts datagrams that were not sent on, by reason.
    `streams_unjudged` counts SSRCs that replaced each other too fast. `missing` names the limits that an unknown
    verdict has too few measurements for.
    """

    p50_microseconds: int | None = None
    p95_microseconds: int | None = None
    p99_microseconds: int | None = None
    max_microseconds: int | None = None
    residence_p99_microseconds: int | None = None
    echo_residence_p99_microseconds: int | None = None
    network_p50_microseconds: int | None = None
    network_p99_microseconds: int | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    streams_unjudged: int = 0
    sla: SlaResult = "Unknown"
    violations: tuple[SlaViolation, ...] = ()
    missing: tuple[str, ...] = ()


def call_figures(
    total: Slice,
    verdict: SlaReport,
    dropped: Mapping[str, int] | None = None,
    streams_unjudged: int = 0,
    judge_host: bool = False,
) -> CallFigures:
    """Return a call's figures with its verdict."""
    return CallFigures(
        **export_figures(total, judge_host),
        dropped=dict(dropped or {}),
        streams_unjudged=streams_unjudged,
        p50_microseconds=microseconds_up(total.round_trip.quantile_ns(500)),
        p95_microseconds=microseconds_up(total.round_trip.quantile_ns(950)),
        p99_microseconds=microseconds_up(total.round_trip.quantile_ns(990)),
        max_microseconds=microseconds_up(total.round_trip.max_ns),
        residence_p99_microseconds=microseconds(total.residence.quantile_ns(990)),
        echo_residence_p99_microseconds=microseconds(total.echo_residence.quantile_ns(990)),
        network_p50_microseconds=microseconds(total.network_round_trip.quantile_ns(500)),
        network_p99_microseconds=microseconds(total.network_round_trip.quantile_ns(990)),
        sla=verdict.result,
        violations=verdict.violations,
        missing=verdict.missing,
    )
