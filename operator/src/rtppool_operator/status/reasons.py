"""What a condition is, and every reason that one may have. Pure.

A check can't say a status: it names a reason, and the table says what status that is. docs/conditions.md is held to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rtppool_operator.relays.observed import PoolObservation

Status = Literal["True", "False", "Unknown"]

MAX_NAMES = 3

# What no relay has said, and why: these stand in every condition that rests on what relays measure.
_UNSERVED: dict[str, Status] = {
    "NoRelays": "Unknown",
    "IncompatibleRelay": "Unknown",
    "RelaySilent": "Unknown",
    "NotProgrammed": "Unknown",
}

_BY_TYPE: dict[str, dict[str, Status]] = {
    "Accepted": {"Invalid": "False", "Conflicted": "False", "NoAddress": "False", "Accepted": "True"},
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
        "NotJudged": "Unknown",
        "NoCalls": "Unknown",
        "WithinLimits": "True",
    },
    "Draining": {"RelayStopping": "True", "CallsOutsideRange": "True", **_UNSERVED, "NotDraining": "False"},
}

READY_NEEDS = ("Accepted", "Programmed", "EchoReachable", "PortsAvailable", "AsteriskConnected")
# A fresh install has no Asterisk yet, and a pool with some ports still takes calls.
FORGIVEN = frozenset({("AsteriskConnected", "NotConfigured"), ("PortsAvailable", "Partial")})


def _of_ready() -> dict[str, Status]:
    """Ready takes the reason of what it misses; without any relay it is False, not Unknown.

    NotProgrammed is none of them: where no relay runs the pool, Programmed is Pending or NoRelays, and comes first.
    """
    missed = {
        reason: status
        for kind in READY_NEEDS
        for reason, status in _BY_TYPE[kind].items()
        if status != "True" and (kind, reason) not in FORGIVEN and reason != "NotProgrammed"
    }
    return {**missed, "NoRelays": "False", "RelayNotReady": "False", "Ready": "True"}


# Every condition's reasons in the order in which they are looked for, and the status that each one means.
REASONS: Mapping[str, Mapping[str, Status]] = {**_BY_TYPE, "Ready": _of_ready()}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition without its times."""

    type: str
    status: Status
    reason: str
    message: str


# A check says its condition, or None: it is not that, ask the next one.
Check = Callable[[PoolObservation], Condition | None]


def make_condition(kind: str, reason: str, message: str) -> Condition:
    """The condition of a type for a reason.

    Raises:
        KeyError: the table has no such reason.
    """
    return Condition(kind, REASONS[kind][reason], reason, message)


def join_first(names: Sequence[str], separator: str = "; ") -> str:
    """The first few, and how many more."""
    more = len(names) - MAX_NAMES
    return separator.join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
