"""One call's figures, read out of what was added up for it. Pure."""

from __future__ import annotations

from typing import Literal

from rtppool_core.contract.codec import Contract
from rtppool_core.contract.report import (
    BurstsReport,
    DirectedLossReport,
    LateByCause,
    ReorderingReport,
    SlaReport,
    SlaViolation,
    export_bursts,
)
from rtppool_core.statistics.delay_variation import PDV_PER_MILLE, pdv_p999_ns
from rtppool_relay.streams.slices import Slice, microseconds


class CallFigures(Contract, frozen=True):
    """One call's figures from its first packet on, in µs and counts; what was not measured is None.

    Residences are the relay's and the echo's; `network` is the round trip without the echo's. R and MOS are estimates
    (ITU-T G.107) from round trip and loss.
    """

    packets: int
    answered: int
    lost: int
    source_lost: int
    late: LateByCause
    reordered: int
    duplicates: int
    too_late: int
    dscp_changed: int = 0
    source_dscp_mismatches: int = 0
    reordering: ReorderingReport | None = None
    directed_loss: DirectedLossReport | None = None
    bursts: BurstsReport | None = None
    p50_microseconds: int | None = None
    p95_microseconds: int | None = None
    p99_microseconds: int | None = None
    max_microseconds: int | None = None
    pdv_microseconds: int | None = None
    source_pdv_microseconds: int | None = None
    jitter_microseconds: int | None = None
    source_jitter_microseconds: int | None = None
    skew_ppm: int | None = None
    residence_p99_microseconds: int | None = None
    echo_residence_p99_microseconds: int | None = None
    network_p50_microseconds: int | None = None
    network_p99_microseconds: int | None = None
    estimated_r_factor: float | None = None
    estimated_mos: float | None = None
    sla: Literal["Met", "Violated", "Unknown"] = "Unknown"
    violations: tuple[SlaViolation, ...] = ()


def call_figures(total: Slice, verdict: SlaReport) -> CallFigures:
    """Figures and verdict; what was not measured is None."""
    quality = total.estimate()
    return CallFigures(
        packets=total.packets,
        answered=total.answered,
        lost=total.lost,
        source_lost=total.source_lost,
        late=total.late(),
        reordered=total.reordered,
        duplicates=total.duplicates,
        too_late=total.too_late,
        dscp_changed=total.dscp_changed,
        source_dscp_mismatches=total.source_dscp_mismatches,
        reordering=total.reordering(),
        directed_loss=total.directed_loss(),
        bursts=export_bursts(total.bursts, total.expected),
        p50_microseconds=microseconds(total.round_trip.quantile_ns(500)),
        p95_microseconds=microseconds(total.round_trip.quantile_ns(950)),
        p99_microseconds=microseconds(total.round_trip.quantile_ns(990)),
        max_microseconds=microseconds(total.round_trip.max_ns),
        pdv_microseconds=microseconds(pdv_p999_ns(total.round_trip)),
        source_pdv_microseconds=microseconds(total.source_variation.quantile_ns(PDV_PER_MILLE)),
        jitter_microseconds=total.jitter_us(),
        source_jitter_microseconds=total.source_jitter_us(),
        skew_ppm=total.skew_ppm(),
        residence_p99_microseconds=microseconds(total.residence.quantile_ns(990)),
        echo_residence_p99_microseconds=microseconds(total.echo_residence.quantile_ns(990)),
        network_p50_microseconds=microseconds(total.network_round_trip.quantile_ns(500)),
        network_p99_microseconds=microseconds(total.network_round_trip.quantile_ns(990)),
        estimated_r_factor=round(quality.r_factor, 1) if quality else None,
        estimated_mos=round(quality.mos, 2) if quality else None,
        sla=verdict.result,
        violations=verdict.violations,
    )
