"""The verdict over figures: limits that hold at any load, and percentiles by a tier of active calls. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rtppool_core.contract.pools_file import SlaLimits, SlaTier
from rtppool_core.contract.report import LateByCause, SlaReport, SlaResult, SlaViolation
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up
from rtppool_relay.figures.capacity import Capacity, unreachable_tiers
from rtppool_relay.streams.slices import Slice

PPM = 1_000_000
QUANTILES = (("p50Microseconds", 500), ("p95Microseconds", 950), ("p99Microseconds", 990))


@dataclass(frozen=True, slots=True)
class SlaCheck:
    """A limit, in the unit of its name, and the figure that it is held against; None: not measured."""

    limit: str
    accepted: int
    measured: int | None

    @property
    def kept(self) -> bool | None:
        """Whether the figure is within the limit; None: nothing to hold it against."""
        return None if self.measured is None else self.measured <= self.accepted


class _Verdict(NamedTuple):
    result: SlaResult
    reason: str
    violations: tuple[SlaViolation, ...] = ()


def tier_for(limits: SlaLimits, active_calls: int) -> tuple[SlaTier | None, bool]:
    """The tier that this many calls fall into, and whether they are above the last one, whose limits then hold."""
    tiers = sorted(limits.tiers, key=lambda tier: tier.up_to_calls)
    for tier in tiers:
        if active_calls <= tier.up_to_calls:
            return tier, False
    return (tiers[-1], True) if tiers else (None, False)


def judge(figures: Slice, active_calls: int, limits: SlaLimits, capacity: Capacity | None = None) -> SlaReport:
    """Met, Violated with the limits and figures, or Unknown with the reason. `source`-late packets don't count.

    With the relay's capacity, the tiers that it can't reach are named.
    """
    tier, above = tier_for(limits, active_calls)
    verdict = _verdict(figures, active_calls, tier, limits)
    return SlaReport(
        result=verdict.result,
        reason=verdict.reason,
        active_calls=active_calls,
        tier_up_to_calls=tier.up_to_calls if tier else None,
        above_tiers=above,
        violations=verdict.violations,
        capacity_calls=capacity.calls if capacity else None,
        unreachable_tiers=unreachable_tiers(limits.tiers, capacity) if capacity else (),
    )


def checks(
    round_trip: Histogram, late: LateByCause, lost: int, packets: int, tier: SlaTier | None, limits: SlaLimits
) -> tuple[SlaCheck, ...]:
    """Every limit that holds now beside its figure, the tier's percentiles first."""
    held = []
    if tier is not None:
        accepted = (tier.p50_microseconds, tier.p95_microseconds, tier.p99_microseconds)
        for (name, per_mille), limit in zip(QUANTILES, accepted, strict=True):
            held.append(SlaCheck(name, limit, microseconds_up(round_trip.quantile_ns(per_mille))))
    held.append(SlaCheck("maxRttMicroseconds", limits.max_rtt_microseconds, microseconds_up(round_trip.max_ns)))
    held.append(SlaCheck("maxLatePpm", limits.max_late_ppm, parts_per_million(late.relay + late.echo, packets)))
    held.append(SlaCheck("maxLossPpm", limits.max_loss_ppm, parts_per_million(lost, packets)))
    return tuple(held)


def parts_per_million(part: int, whole: int) -> int | None:
    """A share in ppm, rounded up likewise; None of nothing."""
    return -(-part * PPM // whole) if whole else None


def _verdict(figures: Slice, active_calls: int, tier: SlaTier | None, limits: SlaLimits) -> _Verdict:
    if figures.packets == 0:
        return _Verdict("Unknown", "NoCalls" if active_calls == 0 else "NoPackets")
    if figures.packets < limits.min_samples:
        return _Verdict("Unknown", "TooFewSamples")
    held = checks(figures.round_trip, figures.late(), figures.lost, figures.packets, tier, limits)
    violations = tuple(
        SlaViolation(check.limit, check.accepted, check.measured)
        for check in held
        if check.measured is not None and check.measured > check.accepted
    )
    return _Verdict("Violated", "LimitExceeded", violations) if violations else _Verdict("Met", "WithinLimits")
