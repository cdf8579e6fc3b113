"""The page's limits: a check a row with a bar, and the tiers with the relay's capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtppool_core.contract.pools_file import SlaLimits, SlaTier
from rtppool_core.contract.report import SlaReport
from rtppool_relay.figures.sla import SlaCheck
from rtppool_relay.http.page.cells import Figure
from rtppool_relay.http.sentences import (
    format_count,
    format_duration,
    format_limit,
    format_number,
    format_share,
    name_limit,
)

# The limit's mark is at three quarters of the bar, or further left when the figure is far above the limit.
PERCENT_OF_LIMIT = 75.0


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit with its figure. `edge` and `filled` are percentages of the bar; absent without a figure."""

    limit: str
    name: str
    accepted: Figure
    measured: Figure | None
    kept: bool | None
    edge: str = ""
    filled: str = ""


@dataclass(frozen=True, slots=True)
class TierRow:
    """A tier of the SLA."""

    calls: Figure
    accepted: tuple[Figure, ...]
    applies: bool
    reachable: bool


@dataclass(frozen=True, slots=True)
class AnyLoad:
    """The limits that hold at any load, and the terms of a verdict."""

    max_rtt: Figure
    max_late: Figure
    max_loss: Figure
    window: Figure
    min_samples: Figure
    judges_host: bool


def limit_rows(checks: Sequence[SlaCheck], limits: SlaLimits) -> list[LimitRow]:
    """Return a row for every limit that applies."""
    return [_limit_row(check, name_limit(check.limit, limits)) for check in checks]


def tier_rows(verdict: SlaReport, limits: SlaLimits) -> list[TierRow]:
    """Return all tiers, the lowest load first."""
    return [_tier_row(tier, verdict) for tier in sorted(limits.tiers, key=lambda tier: tier.up_to_calls)]


def any_load(limits: SlaLimits) -> AnyLoad:
    """Return the limits that hold at any load."""
    return AnyLoad(
        max_rtt=Figure(limits.max_rtt_microseconds, format_duration(limits.max_rtt_microseconds)),
        max_late=Figure(limits.max_late_ppm, format_share(limits.max_late_ppm)),
        max_loss=Figure(limits.max_loss_ppm, format_share(limits.max_loss_ppm)),
        window=Figure(limits.window_seconds, f"{format_number(limits.window_seconds)} s"),
        min_samples=Figure(limits.min_samples, format_count(limits.min_samples, "round trip")),
        judges_host=limits.judge_host,
    )


def _limit_row(check: SlaCheck, name: str) -> LimitRow:
    accepted = Figure(check.accepted, format_limit(check.limit, check.accepted))
    if check.measured is None:
        return LimitRow(check.limit, name, accepted, None, None)
    edge, filled = _bar_percents(check.accepted, check.measured)
    measured = Figure(check.measured, format_limit(check.limit, check.measured))
    return LimitRow(check.limit, name, accepted, measured, check.kept, f"{edge:.2f}%", f"{filled:.2f}%")


def _bar_percents(accepted: int, measured: int) -> tuple[float, float]:
    """Return the positions of the limit's mark and of the bar's end."""
    whole = max(accepted * 100 / PERCENT_OF_LIMIT, measured)
    return (100 * accepted / whole, 100 * measured / whole) if whole else (PERCENT_OF_LIMIT, 0.0)


def _tier_row(tier: SlaTier, verdict: SlaReport) -> TierRow:
    accepted = (tier.p50_microseconds, tier.p95_microseconds, tier.p99_microseconds)
    return TierRow(
        calls=Figure(tier.up_to_calls, format_count(tier.up_to_calls, "call")),
        accepted=tuple(Figure(limit, format_duration(limit)) for limit in accepted),
        applies=tier.up_to_calls == verdict.tier_up_to_calls,
        reachable=tier.up_to_calls not in {unreachable.up_to_calls for unreachable in verdict.unreachable_tiers},
    )
