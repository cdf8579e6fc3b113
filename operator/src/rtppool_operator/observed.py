"""What relays report, put together for a pool. Pure.

Only a relay that runs the pool (same uid) adds to its figures; a report that is too old adds to nothing but its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rtppool_core.contract import to_json
from rtppool_core.report import Report, SlaReport, WindowReport
from rtppool_operator.cluster_view import RelayPod
from rtppool_operator.desired import Claim
from rtppool_operator.merged_window import merge_windows

POLL_SECONDS = 2.0
STALE_AFTER_SECONDS = 3 * POLL_SECONDS
MOST_RELAYS_LISTED = 64
_WORSE = {"Violated": 2, "Unknown": 1, "Met": 0}


@dataclass(frozen=True, slots=True)
class Heard:
    """A relay's last report. `at_seconds` is monotonic, `at_unix_seconds` the same moment for people."""

    report: Report
    at_seconds: float
    at_unix_seconds: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a relay was not heard, as a clause. `incompatible`: it answers, in another version of the report than ours."""

    reason: str
    incompatible: bool = False


@dataclass(frozen=True, slots=True)
class RelayState:
    """A relay as a pool sees it. `report` is None when it was never heard, `silent_since` set when it is stale."""

    pod: RelayPod
    report: Report | None = None
    silent_since_unix_seconds: int | None = None
    failure: Failure | None = None

    @property
    def live(self) -> bool:
        """Heard lately."""
        return self.report is not None and self.silent_since_unix_seconds is None


@dataclass(frozen=True, slots=True)
class PoolObservation:
    """One pool: its claim, and the relays on the nodes that it has."""

    claim: Claim
    relays: tuple[RelayState, ...]

    @property
    def live(self) -> tuple[RelayState, ...]:
        """Relays heard lately."""
        return tuple(relay for relay in self.relays if relay.live)

    @property
    def serving(self) -> tuple[tuple[RelayPod, Report], ...]:
        """Live relays that run this pool, whatever the generation."""
        uid = self.claim.pool.uid
        return tuple(
            (relay.pod, relay.report)
            for relay in self.live
            if relay.report is not None and relay.report.pool is not None and relay.report.pool.uid == uid
        )

    def runs_current(self, report: Report) -> bool:
        """Whether a report confirms this pool in its current generation."""
        pool = self.claim.pool
        return report.pool is not None and report.pool.uid == pool.uid and report.applied_generation == pool.generation


def observe(
    claim: Claim,
    relays: Iterable[RelayPod],
    heard: Mapping[str, Heard],
    failures: Mapping[str, Failure],
    now_seconds: float,
) -> PoolObservation:
    """The relays on a pool's nodes. `heard` and `failures` are by pod uid."""
    owned = set(claim.owned) | {name for name, _ in claim.unserved}
    mine = sorted((relay for relay in relays if relay.node in owned), key=lambda relay: (relay.node, relay.name))
    return PoolObservation(claim, tuple(_state(relay, heard, failures, now_seconds) for relay in mine))


def figures(observation: PoolObservation) -> dict[str, Any]:
    """The status without conditions. What was not measured is left out."""
    pool, spec = observation.claim.pool, observation.claim.pool.spec
    serving = observation.serving
    reports = [report for _, report in serving]
    status: dict[str, Any] = {"observedGeneration": pool.generation, "relayCount": len(observation.relays)}
    applied = _applied_generation(observation)
    if applied is not None:
        status["appliedGeneration"] = applied
    if reports:
        status["capacity"] = _capacity(reports)
        status["activeCalls"] = sum(report.calls.active for report in reports)
        status["refusedCalls"] = sum(sum(report.calls.refused.values()) for report in reports)
        status["sla"] = _worst_sla(serving)
    resolved = sorted({report.echo.resolved_address for report in reports if report.echo.resolved_address})
    if resolved:
        status["echo"] = {"resolvedAddress": ",".join(resolved)}
    latency = _latency(reports, spec.sla.window_seconds if spec is not None else 0)
    if latency:
        status["latency"] = latency
    status["summary"] = _summary(observation, latency)
    status["relays"] = [_relay(observation, relay) for relay in observation.relays[:MOST_RELAYS_LISTED]]
    return status


def _state(
    relay: RelayPod, heard: Mapping[str, Heard], failures: Mapping[str, Failure], now_seconds: float
) -> RelayState:
    last = heard.get(relay.uid)
    if last is None:
        return RelayState(relay, failure=failures.get(relay.uid))
    stale = now_seconds - last.at_seconds > STALE_AFTER_SECONDS
    return RelayState(
        pod=relay,
        report=last.report,
        silent_since_unix_seconds=last.at_unix_seconds if stale else None,
        failure=failures.get(relay.uid) if stale else None,
    )


def _applied_generation(observation: PoolObservation) -> int | None:
    serving = observation.serving
    if not serving or len(serving) < len(observation.live):
        return None
    generations = [report.applied_generation for _, report in serving]
    known = [generation for generation in generations if generation is not None]
    return min(known) if len(known) == len(generations) else None


def _capacity(reports: list[Report]) -> dict[str, int]:
    names = {
        "total": "total",
        "allocated": "leased",
        "free": "free",
        "resting": "resting",
        "quarantined": "quarantined",
        "excluded": "excluded",
        "draining": "draining",
    }
    return {name: sum(getattr(report.ports, field) for report in reports) for name, field in names.items()}


def _latency(reports: list[Report], window_seconds: int) -> dict[str, Any]:
    latency = {}
    choose: dict[str, Callable[[Report], WindowReport | None]] = {
        "calls": lambda report: report.windows.calls,
        "probe": lambda report: report.windows.probe,
    }
    for name, window_of in choose.items():
        windows = [window for report in reports if (window := window_of(report)) is not None]
        if windows:
            latency[name] = merge_windows(windows, window_seconds)
    return latency


def worst_relay(serving: Iterable[tuple[RelayPod, Report]]) -> tuple[RelayPod, SlaReport] | None:
    """The relay whose verdict is the pool's: Violated, then Unknown with calls, then Met, then one without."""
    judged = [(pod, report.sla) for pod, report in serving]
    if not judged:
        return None
    return max(judged, key=lambda each: (_severity(each[1]), len(each[1].violations), each[1].active_calls))


def _severity(verdict: SlaReport) -> int:
    if verdict.result == "Unknown" and verdict.active_calls == 0:
        return -1
    return _WORSE[verdict.result]


def _worst_sla(serving: tuple[tuple[RelayPod, Report], ...]) -> dict[str, Any]:
    worst = worst_relay(serving)
    if worst is None:
        return {"result": "Unknown", "reason": "NoRelays"}
    pod, verdict = worst
    status: dict[str, Any] = {
        "result": verdict.result,
        "reason": verdict.reason,
        "relay": pod.name,
        "node": pod.node,
        "aboveTiers": verdict.above_tiers,
        "violations": to_json(verdict.violations),
    }
    if verdict.tier_up_to_calls is not None:
        status["tierUpToCalls"] = verdict.tier_up_to_calls
    return status


def _summary(observation: PoolObservation, latency: Mapping[str, Any]) -> dict[str, str]:
    spec = observation.claim.pool.spec
    confirmed = sum(1 for relay in observation.live if relay.report and observation.runs_current(relay.report))
    summary = {"relays": f"{confirmed}/{len(observation.relays)}"}
    if spec is not None:
        summary |= {"range": str(spec.port_range), "echo": str(spec.echo)}
    for name, mark in (("calls", ""), ("probe", " (probe)")):
        p99 = latency.get(name, {}).get("p99Microseconds")
        if p99 is not None:
            summary["p99"] = f"{milliseconds(p99)}{mark}"
            break
    return summary


def milliseconds(microseconds: int) -> str:
    """`3.1ms`; below 10 µs still not `0.0ms`."""
    value = microseconds / 1000
    return f"{value:.1f}ms" if value >= 1 else f"{value:.2g}ms"


def _relay(observation: PoolObservation, relay: RelayState) -> dict[str, Any]:
    row: dict[str, Any] = {"podName": relay.pod.name, "nodeName": relay.pod.node, "ready": False}
    if relay.pod.address is not None:
        row["address"] = relay.pod.address
    if relay.report is not None:
        row["softwareVersion"] = relay.report.software_version
        row["ready"] = relay.live and relay.report.ready
        pool = relay.report.pool
        if pool is not None and pool.uid == observation.claim.pool.uid and relay.report.applied_generation is not None:
            row["appliedGeneration"] = relay.report.applied_generation
        if relay.live:
            row["activeCalls"] = relay.report.calls.active
    if relay.silent_since_unix_seconds is not None:
        row["silentSince"] = rfc3339(relay.silent_since_unix_seconds)
    return row


def rfc3339(unix_seconds: int) -> str:
    """`2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
