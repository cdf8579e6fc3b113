"""The nine conditions of a pool.

Each is an ordered chain of reasons, and the first that applies is the condition. A message has no figure that changes
by itself, because every change of a message is a write. Such figures are in the rest of the status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.claim_checks import ACCEPTED, CONFLICTED
from rtppool_operator.status.reasons import Condition, Reason, Status, join_first
from rtppool_operator.status.relay_checks import PROGRAMMED
from rtppool_operator.status.report_checks import ASTERISK_CONNECTED, DRAINING, ECHO_REACHABLE, PORTS_AVAILABLE, SLA_MET
from rtppool_operator.status.text import shorten

READY = "Ready"
CHAINS: Mapping[str, Sequence[Reason]] = {
    "Accepted": ACCEPTED,
    "Conflicted": CONFLICTED,
    "Programmed": PROGRAMMED,
    "PortsAvailable": PORTS_AVAILABLE,
    "EchoReachable": ECHO_REACHABLE,
    "AsteriskConnected": ASTERISK_CONNECTED,
    "SLAMet": SLA_MET,
    "Draining": DRAINING,
}
READY_NEEDS = ("Accepted", "Programmed", "EchoReachable", "PortsAvailable", "AsteriskConnected")
# A new installation has no Asterisk yet, and a pool with some ports still takes calls.
FORGIVEN = frozenset({("AsteriskConnected", "NotConfigured"), ("PortsAvailable", "Partial")})


def _reasons_of_ready() -> dict[str, Status]:
    """Return the reasons of Ready: those of its needs. Without any relay it is False, not Unknown.

    NotProgrammed is not one of them: without a relay that runs the pool, Programmed is Pending or NoRelays, and first.
    """
    missed = {
        reason.name: reason.status
        for kind in READY_NEEDS
        for reason in CHAINS[kind]
        if reason.status != "True" and (kind, reason.name) not in FORGIVEN and reason.name != "NotProgrammed"
    }
    return {**missed, "NoRelays": "False", "RelayNotReady": "False", "Ready": "True"}


# The reasons of each condition in the order of their checks, and the status of each reason.
REASONS: Mapping[str, Mapping[str, Status]] = {
    **{kind: {reason.name: reason.status for reason in chain} for kind, chain in CHAINS.items()},
    READY: _reasons_of_ready(),
}
_REMEDIES = {(kind, reason.name): reason.remedy for kind, chain in CHAINS.items() for reason in chain}


def find_remedy(kind: str, reason: str) -> str:
    """Return the remedy; empty where no action is needed, or where another condition has it."""
    return _REMEDIES.get((kind, reason), "")


def conditions(observation: PoolObservation) -> tuple[Condition, ...]:
    """Compute all nine, Ready last."""
    found = {kind: _evaluate(kind, observation) for kind in CHAINS}
    return (*found.values(), _ready(observation, [found[kind] for kind in READY_NEEDS]))


def _evaluate(kind: str, observation: PoolObservation) -> Condition:
    """Return the condition of the first reason that applies. The last one of a chain always does."""
    applying = ((reason, message) for reason in CHAINS[kind] if (message := reason.check(observation)) is not None)
    reason, message = next(applying)
    return Condition(kind, reason.status, reason.name, message)


def _ready(observation: PoolObservation, needs: Sequence[Condition]) -> Condition:
    """Return Ready: the first need that is False, relays that can't take calls, the first need that is Unknown."""
    missed = [need for need in needs if need.status != "True" and (need.type, need.reason) not in FORGIVEN]
    failed = [need for need in missed if need.status == "False"]
    unready = None if failed else _unready_relays(observation)
    if unready is not None:
        return _condition_of_ready("RelayNotReady", unready)
    for need in (*failed, *missed):
        return _condition_of_ready(need.reason, f"{need.type}: {need.message}")
    return _condition_of_ready("Ready", "every relay serves this pool as written")


def _condition_of_ready(reason: str, message: str) -> Condition:
    return Condition(READY, REASONS[READY][reason], reason, message)


def _unready_relays(observation: PoolObservation) -> str | None:
    serving = observation.serving
    unready = [f"{pod.node}: {shorten(', '.join(report.not_ready))}" for pod, report in serving if not report.ready]
    counted = f"{len(serving) - len(unready)} of {len(observation.relays)} relays can take calls"
    return f"{counted}; {join_first(unready)}" if unready else None


def add_times(
    found: Sequence[Condition], before: Sequence[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """Return the conditions as JSON. A transition time changes with the condition's status only."""
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
