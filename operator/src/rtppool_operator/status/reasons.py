"""Conditions, and the table of their reasons.

A check chooses a reason, and the table maps it to a status. A test compares docs/conditions.md with the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rtppool_operator.relays.observed import PoolObservation

Status = Literal["True", "False", "Unknown"]

MAX_NAMES = 3

# Reasons for missing reports, in every condition that needs the relays' measurements.
_UNSERVED: dict[str, Status] = {
    "NoRelays": "Unknown",
    "IncompatibleRelay": "Unknown",
    "RelaySilent": "Unknown",
    "NotProgrammed": "Unknown",
}

_BY_TYPE: dict[str, dict[str, Status]] = {
    "Accepted": {
        "NamespaceNotHonoured": "False",
        "Invalid": "False",
        "NotAllowed": "False",
        "Conflicted": "False",
        "NoAddress": "False",
        "Accepted": "True",
    },
    "Conflicted": {"NodeOwned": "True", "Preferred": "False", "NoConflict": "False"},
    "Programmed": {
        "Paused": "False",
        "ConfigRefused": "False",
        "Pending": "False",
        "NoRelays": "Unknown",
        "MissingRelay": "False",
        "IncompatibleRelay": "Unknown",
        "RelaySilent": "Unknown",
        "Programmed": "True",
    },
    "PortsAvailable": {"None": "False", "Partial": "False", **_UNSERVED, "Available": "True"},
    "EchoReachable": {"Unreachable": "False", **_UNSERVED, "NothingSent": "Unknown", "Reachable": "True"},
    "AsteriskConnected": {
        "Unreachable": "False",
        "Unauthorized": "False",
        "Replaced": "False",
        **_UNSERVED,
        "NotConfigured": "False",
        "Connected": "True",
    },
    "SLAMet": {
        "LimitExceeded": "False",
        **_UNSERVED,
        "NoPackets": "Unknown",
        "TooFewSamples": "Unknown",
        "NotMeasured": "Unknown",
        "NotJudged": "Unknown",
        "NoCalls": "Unknown",
        "WithinLimits": "True",
    },
    "Draining": {"RelayStopping": "True", "CallsOutsideRange": "True", **_UNSERVED, "NotDraining": "False"},
}

READY_NEEDS = ("Accepted", "Programmed", "EchoReachable", "PortsAvailable", "AsteriskConnected")
# A new installation has no Asterisk yet, and a pool with some ports still takes calls.
FORGIVEN = frozenset({("AsteriskConnected", "NotConfigured"), ("PortsAvailable", "Partial")})


def _of_ready() -> dict[str, Status]:
    """Return the reasons of Ready: those of its needs. Without any relay it is False, not Unknown.

    NotProgrammed is not one of them: without a relay that runs the pool, Programmed is Pending or NoRelays, and first.
    """
    missed = {
        reason: status
        for kind in READY_NEEDS
        for reason, status in _BY_TYPE[kind].items()
        if status != "True" and (kind, reason) not in FORGIVEN and reason != "NotProgrammed"
    }
    return {**missed, "NoRelays": "False", "RelayNotReady": "False", "Ready": "True"}


# The reasons of each condition in the order of their checks, and the status of each reason.
REASONS: Mapping[str, Mapping[str, Status]] = {**_BY_TYPE, "Ready": _of_ready()}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without its transition time."""

    type: str
    status: Status
    reason: str
    message: str


# A check returns a condition, or None when it does not apply.
Check = Callable[[PoolObservation], Condition | None]


def make_condition(kind: str, reason: str, message: str) -> Condition:
    """Return the condition of a type for a reason.

    Raises:
        KeyError: the table has no such reason.
    """
    return Condition(kind, REASONS[kind][reason], reason, message)


def join_first(names: Sequence[str], separator: str = "; ") -> str:
    """Join the first three names, and append the number of the others."""
    more = len(names) - MAX_NAMES
    return separator.join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
