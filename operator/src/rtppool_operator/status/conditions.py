"""The nine conditions of a pool. Each has the first reason that applies, and Ready follows from five others.

`REASONS_OF` has the reasons of each in the order of its checks. A test compares docs/conditions.md with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status import checks
from rtppool_operator.status.text import join_first, shorten

Status = Literal["True", "False", "Unknown"]


class Reason(NamedTuple):
    """The status of the condition, and sentences for the page; empty where no action is needed, or another has it."""

    status: Status
    remedy: str = ""


# Every condition that needs the relays' measurements has these: without a report it is Unknown.
UNSERVED: Mapping[str, Reason] = {
    "NoRelays": Reason("Unknown", "Label nodes, or check the relay DaemonSet (kubectl get daemonset)."),
    "IncompatibleRelay": Reason("Unknown", "Upgrade operator and relays with the same chart."),
    "RelaySilent": Reason(
        "Unknown", "The message has the error. Check the relay's pod and network policies for its HTTP port."
    ),
    "NotProgrammed": Reason("Unknown"),
}
REASONS_OF: Mapping[str, Mapping[str, Reason]] = {
    "Accepted": {
        "NamespaceNotHonoured": Reason(
            "False",
            "The administrator of the release adds the namespace to operator.poolNamespaces, or deletes the pool. "
            "See docs/security.md.",
        ),
        "Invalid": Reason("False", "Correct the field. Until then relays keep their configuration."),
        "NotAllowed": Reason(
            "False",
            "Use a listed host, or extend operator.allowedEchoHosts or operator.allowedAdvertiseAddresses. "
            "Until then relays keep their configuration.",
        ),
        "Conflicted": Reason(
            "False",
            "Delete one of them, or give this pool a nodeSelector: it takes precedence over a pool without one.",
        ),
        "NoAddress": Reason("False", "Use HostIP or Static, or let the cloud assign external addresses to the nodes."),
        "Accepted": Reason("True"),
    },
    "Conflicted": {
        "NodeOwned": Reason("True", "Make the selectors disjoint. Precedence decides until then."),
        "Preferred": Reason("False", "No action is needed: the other pools have NodeOwned."),
        "NoConflict": Reason("False"),
    },
    "Programmed": {
        "Paused": Reason("False", "Set paused to false to send the edit."),
        "ConfigRefused": Reason(
            "False",
            "The message has the relay's error. The relay is mostly older than the operator: complete the upgrade.",
        ),
        "Pending": Reason(
            "False", "Wait about a second. If it persists, check that relay's log and the ConfigMap rtp-relay-config."
        ),
        "NoRelays": UNSERVED["NoRelays"],
        "MissingRelay": Reason(
            "False", "Check the relay pods on those nodes: taints, resources, a port in use by another pod."
        ),
        "IncompatibleRelay": UNSERVED["IncompatibleRelay"],
        "RelaySilent": UNSERVED["RelaySilent"],
        "Programmed": Reason("True"),
    },
    "PortsAvailable": {
        "None": Reason("False", "Another program uses the ports, and the message names the first. Move the range."),
        "Partial": Reason("False", "Add them to excludedPorts, or stop the program that uses them."),
        **UNSERVED,
        "Available": Reason("True"),
    },
    "EchoReachable": {
        "Unreachable": Reason("False", "Check the echo's pod, echo.host and echo.port, and firewalls for UDP."),
        **UNSERVED,
        "NothingSent": Reason("Unknown", "Switch the probe on, or correct echo.host."),
        "Reachable": Reason("True"),
    },
    "AsteriskConnected": {
        "Unreachable": Reason("False", "Check Asterisk, its http.conf, and the chart's ari.url."),
        "Unauthorized": Reason("False", "Compare the Secret with ari.conf."),
        "Replaced": Reason("False", "Stop that program: an application has one subscriber."),
        **UNSERVED,
        "NotConfigured": Reason("False", "Set ari.existingSecret once there is an Asterisk, see docs/asterisk.md."),
        "Connected": Reason("True"),
    },
    "SLAMet": {
        "LimitExceeded": Reason(
            "False", "status.sla has relay, limit and figure. The relay's /sla page has the cause. See docs/sla.md."
        ),
        **UNSERVED,
        "NoPackets": Reason("Unknown", "Wait 5 s. If it persists, Asterisk sends no packets: see the relay's /calls."),
        "TooFewSamples": Reason("Unknown", "Wait, or lower sla.minSamples."),
        "NotMeasured": Reason("Unknown", "See the relay's /sla and /calls."),
        "NotJudged": Reason("Unknown", "The message has the relay's reason. Upgrade the operator."),
        "NoCalls": Reason("Unknown"),
        "WithinLimits": Reason("True"),
    },
    "Draining": {
        "RelayStopping": Reason(
            "True",
            "Wait: they end at the latest after drain.timeoutSeconds or the pod's grace period. "
            "With relay.onStop=HandOver the next relay on the node adopts them.",
        ),
        "CallsOutsideRange": Reason("True", "Wait until they end. No call is cut."),
        **UNSERVED,
        "NotDraining": Reason("False"),
    },
}

READY = "Ready"
CHECKS: Mapping[str, Callable[[PoolObservation], Iterator[checks.Found]]] = {
    "Accepted": checks.accepted,
    "Conflicted": checks.conflicted,
    "Programmed": checks.programmed,
    "PortsAvailable": checks.ports_available,
    "EchoReachable": checks.echo_reachable,
    "AsteriskConnected": checks.asterisk_connected,
    "SLAMet": checks.sla_met,
    "Draining": checks.draining,
}
READY_NEEDS = ("Accepted", "Programmed", "EchoReachable", "PortsAvailable", "AsteriskConnected")
# A new installation has no Asterisk yet, and a pool with some ports still takes calls.
FORGIVEN = frozenset({("AsteriskConnected", "NotConfigured"), ("PortsAvailable", "Partial")})


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without its transition time."""

    type: str
    status: Status
    reason: str
    message: str


def _reasons_of_ready() -> dict[str, Status]:
    """Return the reasons of Ready: those of its needs. Without any relay it is False, not Unknown.

    NotProgrammed is not one of them: without a relay that runs the pool, Programmed is Pending or NoRelays, and first.
    """
    missed = {
        name: reason.status
        for kind in READY_NEEDS
        for name, reason in REASONS_OF[kind].items()
        if reason.status != "True" and (kind, name) not in FORGIVEN and name != "NotProgrammed"
    }
    return {**missed, "NoRelays": "False", "RelayNotReady": "False", "Ready": "True"}


# The reasons of each condition in the order of their checks, and the status of each reason.
REASONS: Mapping[str, Mapping[str, Status]] = {
    **{kind: {name: reason.status for name, reason in reasons.items()} for kind, reasons in REASONS_OF.items()},
    READY: _reasons_of_ready(),
}


def find_remedy(kind: str, reason: str) -> str:
    """Return the remedy; empty where no action is needed, or where another condition has it."""
    found = REASONS_OF.get(kind, {}).get(reason)
    return "" if found is None else found.remedy


def conditions(observation: PoolObservation) -> tuple[Condition, ...]:
    """Compute all nine, Ready last."""
    found = {kind: _condition(kind, *next(check(observation))) for kind, check in CHECKS.items()}
    return (*found.values(), _ready(observation, [found[kind] for kind in READY_NEEDS]))


def _condition(kind: str, reason: str, message: str) -> Condition:
    return Condition(kind, REASONS[kind][reason], reason, message)


def _ready(observation: PoolObservation, needs: Sequence[Condition]) -> Condition:
    """Return Ready: the first need that is False, relays that can't take calls, the first need that is Unknown."""
    missed = [need for need in needs if need.status != "True" and (need.type, need.reason) not in FORGIVEN]
    failed = [need for need in missed if need.status == "False"]
    unready = None if failed else _unready_relays(observation)
    if unready is not None:
        return _condition(READY, "RelayNotReady", unready)
    for need in (*failed, *missed):
        return _condition(READY, need.reason, f"{need.type}: {need.message}")
    return _condition(READY, "Ready", "every relay serves this pool as written")


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
