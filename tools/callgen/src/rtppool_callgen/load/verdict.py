"""The verdict of a load test: the relay's verdicts by tier, shortfalls of calls, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.load.call_ledger import RecordCounts
from rtppool_callgen.load.relay_counts import RelayCounts
from rtppool_callgen.load.windows import LoadWindow
from rtppool_core.contract.report import SlaResult

EXIT_MET = 0
EXIT_VIOLATED = 1
# 2 is an invalid setting.
EXIT_NOTHING_MEASURED = 3

LoadResult = Literal["Met", "Violated", "Incomplete", "NothingMeasured"]


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that windows exceeded: how many, and the worst figure in the unit of the limit's name."""

    limit: str
    accepted: int
    worst: int
    windows: int


@dataclass(frozen=True, slots=True)
class TierVerdict:
    """Windows by the relay's verdict. `up_to_calls` is None without tiers.

    `mixed` windows have packets of more calls than the tier covers, and are not judged. The worst figures are those of
    judged windows.
    """

    up_to_calls: int | None
    result: SlaResult
    met: int
    violated: int
    unknown: int
    mixed: int
    worst_p50_microseconds: int | None
    worst_p95_microseconds: int | None
    worst_p99_microseconds: int | None
    worst_max_microseconds: int | None
    excesses: tuple[Excess, ...]


@dataclass(frozen=True, slots=True)
class CallCounts:
    """The calls of a load, from callers and relay. None is unknown.

    `refused` by reason comes from the callers, or from the relay's counters where callers know no refusals.
    `orphans` are channels and bridges that remain in Asterisk two seconds after the last call.
    """

    planned: int
    placed: int
    completed: int
    interrupted: int
    refused: dict[str, int]
    failed: dict[str, int]
    not_placed: dict[str, int]
    orphans: int | None
    orphans_deleted_by_relay: int | None
    leaked_ports: int | None
    ports_leased_by_nobody: int | None
    zero_round_trip: int | None
    missing_round_trip: int | None
    heard_nothing: int | None


@dataclass(frozen=True, slots=True)
class LoadVerdict:
    """`sentence` is the verdict in words, `shortfalls` are sentences about calls that did not go as planned."""

    result: LoadResult
    sla: SlaResult
    exit_code: int
    sentence: str
    shortfalls: tuple[str, ...]


def tier_verdicts(windows: Sequence[LoadWindow]) -> tuple[TierVerdict, ...]:
    """Return the verdict of each tier in the windows, fewest calls first."""
    tiers = {window.tier_up_to_calls for window in windows}
    return tuple(
        _tier(tier, [window for window in windows if window.tier_up_to_calls == tier])
        for tier in sorted(tiers, key=lambda tier: (tier is None, tier or 0))
    )


def call_counts(
    planned: int, tally: Tally, relay: RelayCounts, records: RecordCounts | None, *, interrupted: bool
) -> CallCounts:
    """Combine the counts of callers and relay."""
    refused, failed = _refused_and_failed(tally, relay)
    listed = tally.channels_left is not None and tally.bridges_left is not None
    return CallCounts(
        planned=planned,
        placed=tally.placed,
        completed=tally.completed,
        interrupted=tally.interrupted,
        refused=refused,
        failed=failed,
        not_placed=dict(tally.not_placed),
        orphans=(tally.channels_left or 0) + (tally.bridges_left or 0) if listed else None,
        orphans_deleted_by_relay=relay.orphans_deleted.total,
        leaked_ports=relay.leaked.total,
        ports_leased_by_nobody=relay.leased_without_call(),
        zero_round_trip=None if records is None else records.zero,
        missing_round_trip=None if records is None else _missing(tally, records, interrupted=interrupted),
        heard_nothing=tally.heard_nothing,
    )


def verdict(tiers: Sequence[TierVerdict], calls: CallCounts, fault: str | None, *, interrupted: bool) -> LoadVerdict:
    """Return Met only if windows were judged, all of them were Met, and every call went as planned.

    Args:
        tiers: the relay's verdicts.
        calls: the counts of calls.
        fault: the error that ended the load early, or None.
        interrupted: the load was ended early on request.
    """
    short = tuple(_shortfalls(calls, fault, interrupted=interrupted))
    sla = _overall(tier.result for tier in tiers)
    if sla == "Unknown":
        sentence = f"Nothing was measured: {_why_nothing(tiers, calls, fault)}. This is no result."
        return LoadVerdict("NothingMeasured", sla, EXIT_NOTHING_MEASURED, sentence, short)
    judged = sum(tier.met + tier.violated for tier in tiers)
    completed = f"{calls.completed} of {calls.placed} calls completed"
    if sla == "Violated":
        violated = sum(tier.violated for tier in tiers)
        worst = "; ".join(f"{_tier_name(tier)}: {_excess_list(tier.excesses)}" for tier in tiers if tier.excesses)
        sentence = f"Violated in {violated} of {judged} judged windows ({worst}); {completed}."
        return LoadVerdict("Violated", sla, EXIT_VIOLATED, sentence, short)
    within = f"all {judged} judged windows are within the limits; {completed}"
    if short:
        return LoadVerdict("Incomplete", sla, EXIT_VIOLATED, f"Incomplete: {within}. {short[0]}", short)
    early = ", interrupted early" if interrupted else ""
    return LoadVerdict("Met", sla, EXIT_MET, f"Met: {within}{early}.", short)


def _tier(up_to_calls: int | None, windows: Sequence[LoadWindow]) -> TierVerdict:
    unmixed = [window for window in windows if not window.mixed]
    judged = [window for window in unmixed if window.result != "Unknown"]
    return TierVerdict(
        up_to_calls=up_to_calls,
        result=_overall(window.result for window in unmixed),
        met=sum(window.result == "Met" for window in judged),
        violated=sum(window.result == "Violated" for window in judged),
        unknown=len(unmixed) - len(judged),
        mixed=len(windows) - len(unmixed),
        worst_p50_microseconds=_worst(window.p50_microseconds for window in judged),
        worst_p95_microseconds=_worst(window.p95_microseconds for window in judged),
        worst_p99_microseconds=_worst(window.p99_microseconds for window in judged),
        worst_max_microseconds=_worst(window.max_microseconds for window in judged),
        excesses=_excesses(judged),
    )


def _excesses(windows: Iterable[LoadWindow]) -> tuple[Excess, ...]:
    found: dict[tuple[str, int], list[int]] = {}
    for window in windows:
        for each in window.violations:
            found.setdefault((each.limit, each.accepted), []).append(each.measured)
    return tuple(
        Excess(limit, accepted, max(measured), len(measured)) for (limit, accepted), measured in sorted(found.items())
    )


def _overall(results: Iterable[SlaResult]) -> SlaResult:
    held = set(results)
    if "Violated" in held:
        return "Violated"
    return "Met" if "Met" in held else "Unknown"


def _worst(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _refused_and_failed(tally: Tally, relay: RelayCounts) -> tuple[dict[str, int], dict[str, int]]:
    """Take the relay's refusals out of the failures of callers that count a refused call as failed."""
    if tally.knows_refusals:
        return dict(tally.refused), dict(tally.failed)
    refused, failed = relay.refused_by_reason(), dict(tally.failed)
    to_take = sum(refused.values())
    for reason in sorted(failed, key=lambda reason: -failed[reason]):
        taken = min(to_take, failed[reason])
        failed[reason] -= taken
        to_take -= taken
    return refused, {reason: count for reason, count in failed.items() if count}


def _missing(tally: Tally, records: RecordCounts, *, interrupted: bool) -> int:
    """Return the records without a round trip, plus completed calls without a record."""
    if interrupted:
        return records.missing
    return records.missing + max(0, tally.completed - records.records)


def _shortfalls(calls: CallCounts, fault: str | None, *, interrupted: bool) -> Iterable[str]:
    if fault is not None:
        yield f"The load ended early: {fault}"
    elif not interrupted and calls.placed < calls.planned:
        yield f"{calls.placed} of {calls.planned} planned calls were placed."
    for fate, reasons in (("refused", calls.refused), ("failed", calls.failed), ("not placed", calls.not_placed)):
        if count := sum(reasons.values()):
            yield f"{_calls(count)} {fate} ({_by_reason(reasons)})."
    for finding, figure in (
        ("Channels and bridges left in Asterisk two seconds after the last call", calls.orphans),
        ("Leaked ports, leased without a call and reclaimed by the relay", calls.leaked_ports),
        ("Ports still leased after the last call", calls.ports_leased_by_nobody),
        ("Calls with a round trip of zero", calls.zero_round_trip),
        ("Calls without a round trip", calls.missing_round_trip),
        ("Callers without any received packet", calls.heard_nothing),
    ):
        if figure:
            yield f"{finding}: {figure}."


def _why_nothing(tiers: Sequence[TierVerdict], calls: CallCounts, fault: str | None) -> str:
    if fault is not None:
        return fault.rstrip(".")
    if calls.placed == 0:
        tried = sum(calls.not_placed.values())
        return f"no call was placed ({_by_reason(calls.not_placed)})" if tried else "no call was placed"
    if calls.refused and not calls.completed:
        return f"{_calls(sum(calls.refused.values()))} refused ({_by_reason(calls.refused)}), and none was measured"
    windows = sum(tier.unknown + tier.mixed for tier in tiers)
    return f"{_calls(calls.placed)} placed, and the relay judged none of {windows} windows (too few packets)"


def _calls(count: int) -> str:
    return f"{count} call" if count == 1 else f"{count} calls"


def _by_reason(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))


def _excess_list(excesses: Iterable[Excess]) -> str:
    return ", ".join(f"{each.limit} {each.worst} > {each.accepted}" for each in excesses)


def _tier_name(tier: TierVerdict) -> str:
    return "no tier" if tier.up_to_calls is None else f"tier up to {tier.up_to_calls} calls"
