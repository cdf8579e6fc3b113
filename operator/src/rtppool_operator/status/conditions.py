"""The nine conditions of a pool.

Each is an ordered chain of checks, and the first that applies is the condition. A message has no figure that changes by
itself, because every change of a message is a write. Such figures are in the rest of the status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.claim_checks import ACCEPTED, CONFLICTED
from rtppool_operator.status.reasons import FORGIVEN, READY_NEEDS, Check, Condition, Status, join_first, make_condition
from rtppool_operator.status.relay_checks import PROGRAMMED
from rtppool_operator.status.report_checks import ASTERISK_CONNECTED, DRAINING, ECHO_REACHABLE, PORTS_AVAILABLE, SLA_MET
from rtppool_operator.status.text import shorten


def conditions(observation: PoolObservation) -> tuple[Condition, ...]:
    """Compute all nine, Ready last."""
    return tuple(evaluate(chain, observation) for chain in CHAINS.values())


def evaluate(chain: Sequence[Check], observation: PoolObservation) -> Condition:
    """Return the condition of the first check that applies. The last check of a chain always does."""
    return next(found for check in chain if (found := check(observation)) is not None)


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


def _need_is_false(observation: PoolObservation) -> Condition | None:
    return _missed(observation, "False")


def _relay_not_ready(observation: PoolObservation) -> Condition | None:
    serving = observation.serving
    unready = [(pod, report) for pod, report in serving if not report.ready]
    if not unready:
        return None
    names = join_first([f"{pod.node}: {shorten(', '.join(report.not_ready))}" for pod, report in unready])
    counted = f"{len(serving) - len(unready)} of {len(observation.relays)} relays can take calls"
    return make_condition("Ready", "RelayNotReady", f"{counted}; {names}")


def _need_is_unknown(observation: PoolObservation) -> Condition | None:
    return _missed(observation, "Unknown")


def _ready(observation: PoolObservation) -> Condition:
    del observation
    return make_condition("Ready", "Ready", "every relay serves this pool as written")


def _missed(observation: PoolObservation, status: Status) -> Condition | None:
    """Return Ready with the reason of the first need of this status."""
    for kind in READY_NEEDS:
        need = evaluate(CHAINS[kind], observation)
        if need.status == status and (need.type, need.reason) not in FORGIVEN:
            return make_condition("Ready", need.reason, f"{need.type}: {need.message}")
    return None


CHAINS: Mapping[str, tuple[Check, ...]] = {
    "Accepted": ACCEPTED,
    "Conflicted": CONFLICTED,
    "Programmed": PROGRAMMED,
    "PortsAvailable": PORTS_AVAILABLE,
    "EchoReachable": ECHO_REACHABLE,
    "AsteriskConnected": ASTERISK_CONNECTED,
    "SLAMet": SLA_MET,
    "Draining": DRAINING,
    "Ready": (_need_is_false, _relay_not_ready, _need_is_unknown, _ready),
}
