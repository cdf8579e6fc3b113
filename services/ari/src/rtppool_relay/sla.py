"""The verdict over figures: limits that hold at any load, and percentiles by a tier of active calls. Pure."""

from __future__ import annotations

from rtppool_core.pool_config import SlaLimits, SlaTier
from rtppool_core.report import SlaReport, SlaViolation
from rtppool_relay.slices import Slice

NS_PER_US = 1_000
PPM = 1_000_000
QUANTILES = (("p50Microseconds", 500), ("p95Microseconds", 950), ("p99Microseconds", 990))


def tier_for(limits: SlaLimits, active_calls: int) -> tuple[SlaTier | None, bool]:
    """The tier that this many calls fall into, and whether they are above the last one, whose limits then hold."""
    tiers = sorted(limits.tiers, key=lambda tier: tier.up_to_calls)
    for tier in tiers:
        if active_calls <= tier.up_to_calls:
            return tier, False
    return (tiers[-1], True) if tiers else (None, False)


def judge(figures: Slice, active_calls: int, limits: SlaLimits) -> SlaReport:
    """Met, Violated with the limits and figures, or Unknown with the reason. `source`-late packets don't count."""
    tier, above = tier_for(limits, active_calls)
    up_to = tier.up_to_calls if tier else None
    if figures.packets == 0:
        reason = "NoCalls" if active_calls == 0 else "NoPackets"
        return SlaReport("Unknown", reason, active_calls, up_to, above)
    if figures.packets < limits.min_samples:
        return SlaReport("Unknown", "TooFewSamples", active_calls, up_to, above)
    violations = _violations(figures, tier, limits)
    if violations:
        return SlaReport("Violated", "LimitExceeded", active_calls, up_to, above, violations)
    return SlaReport("Met", "WithinLimits", active_calls, up_to, above)


def _violations(figures: Slice, tier: SlaTier | None, limits: SlaLimits) -> tuple[SlaViolation, ...]:
    measured: list[tuple[str, int, int]] = []
    if tier is not None:
        accepted = (tier.p50_microseconds, tier.p95_microseconds, tier.p99_microseconds)
        for (name, per_mille), limit in zip(QUANTILES, accepted, strict=True):
            quantile_ns = figures.round_trip.quantile_ns(per_mille)
            if quantile_ns is not None:
                measured.append((name, limit, _microseconds(quantile_ns)))
    if figures.round_trip.max_ns is not None:
        measured.append(("maxRttMicroseconds", limits.max_rtt_microseconds, _microseconds(figures.round_trip.max_ns)))
    measured.append(
        ("maxLatePpm", limits.max_late_ppm, (figures.late_relay + figures.late_echo) * PPM // figures.packets)
    )
    measured.append(("maxLossPpm", limits.max_loss_ppm, figures.lost * PPM // figures.packets))
    return tuple(SlaViolation(name, limit, value) for name, limit, value in measured if value > limit)


def _microseconds(nanoseconds: int) -> int:
    """Rounded up, so that a figure above a limit is never shown as equal to it."""
    return -(-nanoseconds // NS_PER_US)
