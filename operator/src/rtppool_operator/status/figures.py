"""A pool's status without its conditions.

A figure that was not measured is left out. Only relays that run the pool count, and every value comes from their
reports, never from the spec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rtppool_core.contract.report import HostReport, SlaReport
from rtppool_core.net.udp import host_port
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.observed import PoolObservation, RelayState, judged_reason, worst_relay
from rtppool_operator.status.merged_window import merge_latency
from rtppool_operator.status.text import join_distinct, shorten

MAX_RELAYS_LISTED = 64
MAX_ADDRESSES_LISTED = 8
MAX_IN_A_COLUMN = 2
MAX_VIOLATIONS_LISTED = 16
MAX_TIERS_LISTED = 8
MAX_LABEL = 100
# Fields of the status by fields of the reports, added up.
PORTS = {"allocated": "leased"} | {
    name: name for name in ("total", "free", "resting", "quarantined", "excluded", "draining")
}
HOST = {
    "cpuSeconds": "cpu_seconds",
    "stolenMilliseconds": "stolen_milliseconds",
    "runDelayMilliseconds": "run_delay_milliseconds",
    "throttledMilliseconds": "throttled_milliseconds",
    "heartbeatLateMilliseconds": "heartbeat_late_milliseconds",
}


def figures(observation: PoolObservation, latency: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Compute the status without conditions. `latency` is that of the windows; None: it is computed."""
    serving = observation.serving
    reports = [report for _, report in serving]
    latency = merge_latency(reports) if latency is None else latency
    worst = worst_relay(serving)
    resolved = [shorten(report.echo.resolved_address, MAX_LABEL) for report in reports if report.echo.resolved_address]
    status = {
        "observedGeneration": observation.claim.pool.generation,
        "relayCount": len(observation.relays),
        "appliedGeneration": _applied_generation(observation),
        "host": _host([report.host for report in reports if report.host is not None]),
        "sla": _sla(*worst) if worst is not None else None,
        "echo": {"resolvedAddress": join_distinct(resolved, MAX_ADDRESSES_LISTED)} if resolved else None,
        "latency": latency or None,
        "summary": _summary(observation, latency),
        "relays": [_relay(observation, relay) for relay in observation.relays[:MAX_RELAYS_LISTED]],
    }
    if reports:
        status["capacity"] = {
            name: sum(getattr(each.ports, field) for each in reports) for name, field in PORTS.items()
        }
        status["activeCalls"] = sum(report.calls.active for report in reports)
        status["refusedCalls"] = sum(sum(report.calls.refused.values()) for report in reports)
    return _measured(status)


def _measured(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if value is not None}


def _applied_generation(observation: PoolObservation) -> int | None:
    """Return the lowest generation of the live relays; None while one of them runs another pool."""
    uid = observation.claim.pool.uid
    generations = []
    for report in [relay.fresh for relay in observation.staying if relay.fresh is not None]:
        pool, generation = report.pool, report.applied_generation
        if pool is None or pool.uid != uid or generation is None:
            return None
        generations.append(generation)
    return min(generations, default=None)


def _host(hosts: Sequence[HostReport]) -> dict[str, int] | None:
    """Return the host time of all relays; None without a report of it. A figure that no relay reads is left out."""
    if not hosts:
        return None
    merged = {"windowSeconds": max(host.window_seconds for host in hosts)}
    for field, name in HOST.items():
        values = [value for host in hosts if (value := getattr(host, name)) is not None]
        if values:
            merged[field] = round(sum(values))
    return merged


def _sla(pod: RelayPod, verdict: SlaReport) -> dict[str, Any]:
    return _measured(
        {
            "result": verdict.result,
            "reason": judged_reason(verdict),
            "relay": pod.name,
            "node": pod.node,
            "aboveTiers": verdict.above_tiers,
            "violations": [
                {"limit": shorten(each.limit, MAX_LABEL), "accepted": each.accepted, "measured": each.measured}
                for each in verdict.violations[:MAX_VIOLATIONS_LISTED]
            ],
            "missing": [shorten(limit, MAX_LABEL) for limit in verdict.missing[:MAX_VIOLATIONS_LISTED]],
            "unreachableTiers": [
                {"upToCalls": tier.up_to_calls, "reason": shorten(tier.reason)}
                for tier in verdict.unreachable_tiers[:MAX_TIERS_LISTED]
            ],
            "tierUpToCalls": verdict.tier_up_to_calls,
            "capacityCalls": verdict.capacity_calls,
        }
    )


def _summary(observation: PoolObservation, latency: Mapping[str, Any]) -> dict[str, str]:
    summary = {"relays": f"{observation.confirmed}/{len(observation.staying)}"}
    reports = [report for _, report in observation.serving]
    if reports:
        summary["range"] = _column(report.ports.range for report in reports)
        summary["echo"] = _column(host_port(report.echo.host, report.echo.port) for report in reports)
    for name, mark in (("calls", ""), ("probe", " (probe)")):
        p99 = latency.get(name, {}).get("p99Microseconds")
        if p99 is not None:
            summary["p99"] = f"{milliseconds(p99)}{mark}"
            break
    return summary


def _column(values: Iterable[str]) -> str:
    return join_distinct((shorten(value, MAX_LABEL) for value in values), MAX_IN_A_COLUMN)


def milliseconds(microseconds: int) -> str:
    """Format as `3.1ms`, rounded up to two digits below 1 ms and to 0.1 ms above it."""
    step = min(100, 10 ** max(0, len(str(microseconds)) - 2))
    value = -(-microseconds // step) * step / 1000
    return f"{value:.1f}ms" if value >= 1 else f"{value:.2g}ms"


def _relay(observation: PoolObservation, relay: RelayState) -> dict[str, Any]:
    row: dict[str, Any] = {"podName": relay.pod.name, "nodeName": relay.pod.node, "ready": False}
    row["address"], report = relay.pod.address, relay.report
    if report is not None:
        row["softwareVersion"] = shorten(report.software_version, MAX_LABEL)
        row["ready"] = relay.fresh is not None and report.ready
        if report.pool is not None and report.pool.uid == observation.claim.pool.uid:
            row["appliedGeneration"] = report.applied_generation
        if relay.fresh is not None:
            row["activeCalls"] = report.calls.active
    if relay.silent_since_unix_seconds is not None:
        row["silentSince"] = rfc3339(relay.silent_since_unix_seconds)
    return _measured(row)


def rfc3339(unix_seconds: int) -> str:
    """Format as `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
