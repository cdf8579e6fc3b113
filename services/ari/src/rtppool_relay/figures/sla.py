"""The SLA over a window: every limit checked against its figure, and the verdict.

Some limits apply at any load. The percentile limits come from the tier of the active calls. Packets that were late
before the relay received them are in no check. The host's part of the delay counts under `judge_host` alone.

A limit is judged only by measurements: loss by packets whose fate is known, every other limit by round trips. A limit
that was not measured often enough is neither kept nor exceeded, and the verdict names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtppool_core.contract.codec import Contract
from rtppool_core.contract.pools_file import SlaLimits, SlaTier
from rtppool_core.contract.report import SlaReport, SlaResult, SlaViolation
from rtppool_core.units import microseconds_up, parts_per_million
from rtppool_relay.figures.capacity import Capacity, find_unreachable_tiers
from rtppool_relay.streams.slices import Slice

LOSS_LIMIT = "maxLossPpm"
QUANTILES = (("p50Microseconds", 500), ("p95Microseconds", 950), ("p99Microseconds", 990))


class SlaCheck(Contract, frozen=True):
    """A limit, in the unit of its name, and the measured figure; None: not measured."""

    limit: str
    accepted: int
    measured: int | None

    @property
    def kept(self) -> bool | None:
        """True within the limit, False above it, None where nothing was measured."""
        return None if self.measured is None else self.measured <= self.accepted


@dataclass(frozen=True, slots=True)
class SlaVerdict:
    """The verdict as `/status` publishes it, and the check of each limit that applies, the tier's percentiles first."""

    report: SlaReport
    checks: tuple[SlaCheck, ...]


def judge(window: Slice, active_calls: int, limits: SlaLimits, capacity: Capacity | None = None) -> SlaVerdict:
    """Check a window against the limits for this many calls: Met, Violated, or Unknown with the reason.

    With the relay's capacity the verdict names the tiers that the relay cannot reach.
    """
    tier, above = select_tier(limits, active_calls)
    checks = tuple(_checks(window, tier, limits))
    enough = {check.limit: _samples(window, check.limit) >= limits.min_samples for check in checks}
    violations = tuple(
        SlaViolation(check.limit, check.accepted, check.measured)
        for check in checks
        if check.measured is not None and not check.kept and enough[check.limit]
    )
    missing = tuple(check.limit for check in checks if check.measured is None or not enough[check.limit])
    result, reason = _result(window, active_calls, limits, violations, missing)
    report = SlaReport(
        result=result,
        reason=reason,
        active_calls=active_calls,
        tier_up_to_calls=tier.up_to_calls if tier else None,
        above_tiers=above,
        violations=violations,
        missing=missing if result == "Unknown" and window.packets else (),
        capacity_calls=capacity.calls if capacity else None,
        unreachable_tiers=find_unreachable_tiers(limits.tiers, capacity) if capacity else (),
    )
    return SlaVerdict(report, checks)


def select_tier(limits: SlaLimits, active_calls: int) -> tuple[SlaTier | None, bool]:
    """Return the tier of this many calls, and whether they are above the last tier, whose limits then apply."""
    tiers = sorted(limits.tiers, key=lambda tier: tier.up_to_calls)
    for tier in tiers:
        if active_calls <= tier.up_to_calls:
            return tier, False
    return (tiers[-1], True) if tiers else (None, False)


def _checks(window: Slice, tier: SlaTier | None, limits: SlaLimits) -> Iterator[SlaCheck]:
    if tier is not None:
        accepted = (tier.p50_microseconds, tier.p95_microseconds, tier.p99_microseconds)
        for (name, per_mille), limit in zip(QUANTILES, accepted, strict=True):
            yield SlaCheck(name, limit, microseconds_up(window.round_trip.quantile_ns(per_mille)))
    late = parts_per_million(window.judged(limits.judge_host), window.packets) if window.judged_late else None
    yield SlaCheck("maxRttMicroseconds", limits.max_rtt_microseconds, microseconds_up(window.round_trip.max_ns))
    yield SlaCheck("maxLatePpm", limits.max_late_ppm, late)
    yield SlaCheck(LOSS_LIMIT, limits.max_loss_ppm, parts_per_million(window.lost, window.packets))


def _samples(window: Slice, limit: str) -> int:
    return window.packets if limit == LOSS_LIMIT else window.round_trip.count


def _result(
    window: Slice,
    active_calls: int,
    limits: SlaLimits,
    violations: tuple[SlaViolation, ...],
    missing: tuple[str, ...],
) -> tuple[SlaResult, str]:
    if window.packets == 0:
        return "Unknown", "NoPackets" if active_calls else "NoCalls"
    if violations:
        return "Violated", "LimitExceeded"
    if window.round_trip.count < limits.min_samples:
        return "Unknown", "TooFewSamples"
    return ("Unknown", "NotMeasured") if missing else ("Met", "WithinLimits")
