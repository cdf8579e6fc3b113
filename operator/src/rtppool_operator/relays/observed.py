"""The relays of a pool with their last reports.

Only a relay that runs the pool (same uid) counts in its figures. A stale report shows in the relay's row alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from rtppool_core.contract.report import Report, SlaReport
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import RelayPod

POLL_SECONDS = 2.0
# After the first missed poll, and of a relay that answers at once after its last answer.
STALE_AFTER_SECONDS = 3 * POLL_SECONDS
# A relay that holds requests answers every ten seconds. One that hangs misses an answer after thirteen.
SILENT_AFTER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class LastReport:
    """A relay's last report. The relay is silent after `until_seconds`, monotonic, unless it answers before.

    `at_unix_seconds` is the wall-clock time of its last answer.
    """

    report: Report
    until_seconds: float
    at_unix_seconds: int

    @classmethod
    def of(cls, report: Report, now_seconds: float, now_unix_seconds: int) -> LastReport:
        """Return the report of a relay that answers now."""
        holds = report.position is not None
        return cls(report, now_seconds + (SILENT_AFTER_SECONDS if holds else STALE_AFTER_SECONDS), now_unix_seconds)

    def missed(self, now_seconds: float) -> LastReport:
        """Return the report of a relay that has missed a poll."""
        return replace(self, until_seconds=min(self.until_seconds, now_seconds + STALE_AFTER_SECONDS))

    def is_stale(self, now_seconds: float) -> bool:
        """Return whether the report is too old to count: the relay is silent."""
        return now_seconds > self.until_seconds


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a poll failed, as a clause. `incompatible`: the report has another version."""

    reason: str
    incompatible: bool = False


@dataclass(frozen=True, slots=True)
class RelayState:
    """A relay of a pool. `report` is None before the first one, and `silent_since` is set when it is stale."""

    pod: RelayPod
    report: Report | None = None
    silent_since_unix_seconds: int | None = None
    failure: Failure | None = None

    @property
    def fresh(self) -> Report | None:
        """The last report while it counts."""
        return self.report if self.silent_since_unix_seconds is None else None


@dataclass(frozen=True)
class PoolObservation:
    """A pool's claim, and the relays on its nodes."""

    claim: Claim
    relays: tuple[RelayState, ...]

    @cached_property
    def serving(self) -> tuple[tuple[RelayPod, Report], ...]:
        """Live relays that run this pool in any generation."""
        uid = self.claim.pool.uid
        fresh = ((relay.pod, relay.fresh) for relay in self.relays if relay.fresh is not None)
        return tuple((pod, report) for pod, report in fresh if report.pool is not None and report.pool.uid == uid)

    @cached_property
    def staying(self) -> tuple[RelayState, ...]:
        """Relays whose pods are not being deleted."""
        return tuple(relay for relay in self.relays if not relay.pod.terminating)

    @cached_property
    def behind(self) -> tuple[tuple[RelayPod, Report], ...]:
        """Staying relays whose fresh report does not confirm the current generation."""
        fresh = ((relay.pod, relay.fresh) for relay in self.staying if relay.fresh is not None)
        return tuple((pod, report) for pod, report in fresh if not self.runs_current(report))

    @cached_property
    def confirmed(self) -> int:
        """The number of staying relays whose fresh report confirms the current generation."""
        return sum(1 for relay in self.staying if relay.fresh is not None) - len(self.behind)

    def runs_current(self, report: Report) -> bool:
        """Return whether a report confirms this pool in its current generation, with the range and echo of its spec.

        The generation alone is not enough: an edit of the ConfigMap may keep it and change the rest.
        """
        pool = self.claim.pool
        if report.pool is None or report.pool.uid != pool.uid or report.applied_generation != pool.generation:
            return False
        echo = (report.echo.host, report.echo.port)
        return pool.spec is None or (
            report.ports.range == str(pool.spec.port_range) and echo == (pool.spec.echo.host, pool.spec.echo.port)
        )


def observe(
    claim: Claim,
    relays: Iterable[RelayPod],
    last_reports: Mapping[str, LastReport],
    failures: Mapping[str, Failure],
    now_seconds: float,
) -> PoolObservation:
    """Select the relays on a pool's nodes. `last_reports` and `failures` are by pod uid."""
    owned = set(claim.owned) | {name for name, _ in claim.unserved}
    mine = sorted((relay for relay in relays if relay.node in owned), key=lambda relay: (relay.node, relay.name))
    return PoolObservation(claim, tuple(_state(relay, last_reports, failures, now_seconds) for relay in mine))


def _state(
    relay: RelayPod, last_reports: Mapping[str, LastReport], failures: Mapping[str, Failure], now_seconds: float
) -> RelayState:
    last = last_reports.get(relay.uid)
    if last is None:
        return RelayState(relay, failure=failures.get(relay.uid))
    stale = last.is_stale(now_seconds)
    return RelayState(
        pod=relay,
        report=last.report,
        silent_since_unix_seconds=last.at_unix_seconds if stale else None,
        failure=failures.get(relay.uid) if stale else None,
    )


# Reasons of a relay for a missing verdict. Any other one becomes NotJudged, with the relay's text in the message.
_REASONS_UNJUDGED = frozenset({"NoCalls", "TooFewSamples", "NoPackets", "NotMeasured"})


def judged_reason(verdict: SlaReport) -> str:
    """Map a relay's verdict to a reason of the condition, which must not be free text of a relay."""
    if verdict.result == "Unknown":
        return verdict.reason if verdict.reason in _REASONS_UNJUDGED else "NotJudged"
    return "WithinLimits" if verdict.result == "Met" else "LimitExceeded"


def worst_relay(serving: Iterable[tuple[RelayPod, Report]]) -> tuple[RelayPod, SlaReport] | None:
    """Return the relay whose verdict is the pool's: Violated, then Unknown with calls, then Met, then without calls."""
    judged = [(pod, report.sla) for pod, report in serving]
    if not judged:
        return None
    return max(judged, key=lambda each: (_severity(each[1]), len(each[1].violations), each[1].active_calls))


def _severity(verdict: SlaReport) -> int:
    return {"Violated": 2, "Unknown": 1 if verdict.active_calls else -1, "Met": 0}[verdict.result]
