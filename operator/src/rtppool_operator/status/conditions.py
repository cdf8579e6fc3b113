"""The nine conditions of a pool, from what its relays report. Pure.

Each is an ordered chain of checks: the first that has something to say is the condition. Messages are sentences that do
not tick: a figure that moves by itself stands in the status' figures, not here.
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
    """All nine, Ready last."""
    return tuple(evaluate(chain, observation) for chain in CHAINS.values())


def evaluate(chain: Sequence[Check], observation: PoolObservation) -> Condition:
    """What the first check says that says anything; the last of a chain always does."""
    return next(found for check in chain if (found := check(observation)) is not None)


def add_times(
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


def _need_is_false(observation: PoolObservation) -> Condition | None:
    return _missed(observation, "False")


def _relay_not_ready(observation: PoolObservation) -> Condition | None:
    """A relay that can't take calls, whatever the cause: it says so itself."""
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
    """Ready by the first of its needs that is so."""
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
