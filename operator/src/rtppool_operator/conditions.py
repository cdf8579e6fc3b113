"""The nine conditions of a pool, from what its relays report. Pure.

Messages are sentences that do not tick: a figure that moves stands in the status' figures, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rtppool_core.report import Report
from rtppool_operator.observed import PoolObservation, worst_relay

Status = Literal["True", "False", "Unknown"]
READY_NEEDS = ("Accepted", "Programmed", "EchoReachable", "PortsAvailable", "AsteriskConnected")
NO_RELAYS = "NoRelays"
RELAY_SILENT = "RelaySilent"
NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition without its times."""

    type: str
    status: Status
    reason: str
    message: str


def conditions(observation: PoolObservation) -> tuple[Condition, ...]:
    """All nine, Ready last."""
    found = (
        _accepted(observation),
        _conflicted(observation),
        _programmed(observation),
        _ports_available(observation),
        _echo_reachable(observation),
        _asterisk_connected(observation),
        _sla_met(observation),
        _draining(observation),
    )
    return (*found, _ready({condition.type: condition for condition in found}))


def with_times(
    found: Sequence[Condition], before: Sequence[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """The conditions as the status holds them; the transition time moves only when the status does."""
    times = {each.get("type"): (each.get("status"), each.get("lastTransitionTime")) for each in before}
    rows = []
    for condition in found:
        status, since = times.get(condition.type, (None, None))
        rows.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": since if status == condition.status and since else now,
            }
        )
    return rows


def _accepted(observation: PoolObservation) -> Condition:
    claim = observation.claim
    if claim.pool.problem is not None:
        return Condition("Accepted", "False", "Invalid", claim.pool.problem)
    if claim.lost and not claim.owned and not claim.unserved:
        return Condition("Accepted", "False", "Conflicted", f"other pools have every node: {_lost(observation)}")
    if claim.unserved and not claim.owned:
        names = _some([f"{node} ({why})" for node, why in claim.unserved])
        return Condition("Accepted", "False", "NoAddress", f"no node can be advertised: {names}")
    return Condition("Accepted", "True", "Accepted", "the spec holds")


def _conflicted(observation: PoolObservation) -> Condition:
    if observation.claim.lost:
        return Condition("Conflicted", "True", "NodeOwned", f"other pools have nodes: {_lost(observation)}")
    return Condition("Conflicted", "False", "NoConflict", "no other pool claims a node of this one")


def _programmed(observation: PoolObservation) -> Condition:
    def verdict(report: Report) -> str | None:
        if observation.runs_current(report):
            return None
        if report.config_error:
            return report.config_error
        if report.pool is None:
            return "it runs on its environment"
        if report.pool.uid != observation.claim.pool.uid:
            return f"it runs pool {report.pool.namespace}/{report.pool.name}"
        return f"it runs generation {report.applied_generation}"

    if observation.claim.pool.spec is not None and observation.claim.pool.spec.paused and observation.live:
        behind = [relay for relay in observation.live if relay.report and not observation.runs_current(relay.report)]
        if behind:
            return Condition("Programmed", "False", "Paused", "the pool is paused; relays keep what they had")
    return _all_relays(observation, "Programmed", "Programmed", "Pending", "relays run this generation", verdict)


def _ports_available(observation: PoolObservation) -> Condition:
    none = [pod for pod, report in observation.serving if report.ports.total <= report.ports.quarantined]
    some = [(pod, report) for pod, report in observation.serving if report.ports.quarantined]
    if none:
        return Condition("PortsAvailable", "False", "None", f"no port can be bound on {_some([p.node for p in none])}")
    if some:
        told = _some([f"{pod.node} ({_first_quarantine(report)})" for pod, report in some])
        return Condition("PortsAvailable", "False", "Partial", f"some ports can't be bound on {told}")
    unknown = _unknown(observation, "PortsAvailable")
    return unknown or Condition("PortsAvailable", "True", "Available", "every port of the range can be bound")


def _first_quarantine(report: Report) -> str:
    first = report.ports.quarantine[0].reason if report.ports.quarantine else "reason not told"
    return f"{report.ports.quarantined} ports, the first: {first}"


def _echo_reachable(observation: PoolObservation) -> Condition:
    silent = [(pod, report) for pod, report in observation.serving if report.echo.reachable is False]
    if silent:
        told = _some([f"{pod.node}: {report.echo.reason}" for pod, report in silent])
        return Condition("EchoReachable", "False", "Unreachable", told)
    unknown = _unknown(observation, "EchoReachable")
    if unknown:
        return unknown
    unsure = [(pod, report) for pod, report in observation.serving if report.echo.reachable is None]
    if unsure:
        told = _some([f"{pod.node}: {report.echo.reason}" for pod, report in unsure])
        return Condition("EchoReachable", "Unknown", "NothingSent", told)
    return Condition("EchoReachable", "True", "Reachable", "the echo answers every relay")


def _asterisk_connected(observation: PoolObservation) -> Condition:
    states = [(pod, report.ari) for pod, report in observation.serving]
    broken = [(pod, ari) for pod, ari in states if ari.state not in {"Connected", "NotConfigured"}]
    if broken:
        told = _some([f"{pod.node}: {ari.reason}" for pod, ari in broken])
        counted = f"{len(states) - len(broken)} of {len(states)} relays are fine; {told}"
        return Condition("AsteriskConnected", "False", broken[0][1].state, counted)
    unknown = _unknown(observation, "AsteriskConnected")
    if unknown:
        return unknown
    without = [(pod, ari) for pod, ari in states if ari.state == "NotConfigured"]
    if without:
        told = f"{_some([pod.node for pod, _ in without])}: {without[0][1].reason}"
        return Condition("AsteriskConnected", "False", "NotConfigured", told)
    return Condition("AsteriskConnected", "True", "Connected", "every relay is connected to its Asterisk")


def _sla_met(observation: PoolObservation) -> Condition:
    worst = worst_relay(observation.serving)
    if worst is None:
        return _unknown(observation, "SLAMet") or Condition("SLAMet", "Unknown", NO_RELAYS, "no relay has said so")
    pod, verdict = worst
    if verdict.result == "Violated":
        limits = ", ".join(violation.limit for violation in verdict.violations)
        return Condition("SLAMet", "False", verdict.reason, f"{pod.node} ({pod.name}) exceeds {limits}; see status.sla")
    unknown = _unknown(observation, "SLAMet")
    if unknown:
        return unknown
    if verdict.result == "Unknown":
        return Condition("SLAMet", "Unknown", verdict.reason, _UNJUDGED.get(verdict.reason, "too little to judge"))
    return Condition("SLAMet", "True", verdict.reason, "every relay with calls meets its tier")


_UNJUDGED = {
    "NoCalls": "no call is active; the probe is shown and never judged",
    "TooFewSamples": "the window has fewer packets of calls than sla.minSamples",
    "NoPackets": "calls are active, but none of their packets came back or was given up yet",
}


def _draining(observation: PoolObservation) -> Condition:
    stopping = [pod.node for pod, report in observation.serving if report.draining]
    outside = [pod.node for pod, report in observation.serving if report.ports.draining]
    if stopping:
        told = f"relays are being stopped and take no new calls: {_some(stopping)}"
        return Condition("Draining", "True", "RelayStopping", told)
    if outside:
        told = f"calls live on ports outside the range on {_some(outside)}; see status.capacity.draining"
        return Condition("Draining", "True", "CallsOutsideRange", told)
    return _unknown(observation, "Draining") or Condition("Draining", "False", "NotDraining", "no call is outside")


def _ready(found: Mapping[str, Condition]) -> Condition:
    needed = [found[name] for name in READY_NEEDS if not _forgiven(found[name])]
    for status in ("False", "Unknown"):
        first = next((condition for condition in needed if condition.status == status), None)
        if first is not None:
            said: Status = "False" if first.status == "False" or first.reason == NO_RELAYS else "Unknown"
            return Condition("Ready", said, first.reason, f"{first.type}: {first.message}")
    return Condition("Ready", "True", "Ready", "every live relay serves this pool as written")


def _forgiven(condition: Condition) -> bool:
    """A fresh install has no Asterisk yet, and a pool with some ports still takes calls."""
    return (condition.type, condition.reason) in {("AsteriskConnected", "NotConfigured"), ("PortsAvailable", "Partial")}


def _all_relays(
    observation: PoolObservation,
    kind: str,
    good: str,
    bad: str,
    told: str,
    verdict: Callable[[Report], str | None],
) -> Condition:
    """True when all live relays say so; the message counts, and names the first that does not."""
    problems = [
        (relay.pod, problem)
        for relay in observation.live
        if relay.report is not None and (problem := verdict(relay.report)) is not None
    ]
    total = len(observation.relays)
    if problems:
        pod, problem = problems[0]
        return Condition(kind, "False", bad, f"{total - len(problems)} of {total}: {pod.node}: {problem}")
    unknown = _unknown(observation, kind)
    return unknown or Condition(kind, "True", good, f"{total} of {total} {told}")


def _unknown(observation: PoolObservation, kind: str) -> Condition | None:
    if not observation.relays:
        return Condition(kind, "Unknown", NO_RELAYS, "no relay runs on a node of this pool")
    silent = [relay for relay in observation.relays if not relay.live]
    if silent:
        told = _some(
            [f"{relay.pod.node}: {relay.failure.reason if relay.failure else 'nothing heard yet'}" for relay in silent]
        )
        return Condition(kind, "Unknown", RELAY_SILENT, f"{len(silent)} of {len(observation.relays)} silent; {told}")
    if not observation.serving and kind != "Programmed":
        return Condition(kind, "Unknown", "NotProgrammed", "no relay runs this pool yet")
    return None


def _lost(observation: PoolObservation) -> str:
    return _some([f"{node} ({winner})" for node, winner in observation.claim.lost])


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return "; ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
