"""A reason of a condition. One row has its status, the check that chooses it, and the remedy.

A condition is an ordered chain of reasons. A test compares docs/conditions.md with the chains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rtppool_operator.relays.observed import PoolObservation

Status = Literal["True", "False", "Unknown"]
# A check returns the message, or None when its reason does not apply.
Check = Callable[[PoolObservation], str | None]

MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """A row of a chain. `remedy` is sentences for the page; empty where no action is needed, or another has it."""

    name: str
    status: Status
    check: Check
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without its transition time."""

    type: str
    status: Status
    reason: str
    message: str


def reason(name: str, status: Status, remedy: str = "") -> Callable[[Check], Reason]:
    """Make a reason of the check below it."""
    return lambda check: Reason(name, status, check, remedy)


def otherwise(name: str, status: Status, message: str) -> Reason:
    """Return the last reason of a chain, which always applies."""
    return Reason(name, status, lambda _observation: message)


def join_first(names: Sequence[str], separator: str = "; ") -> str:
    """Join the first three names, and append the number of the others."""
    more = len(names) - MAX_NAMES
    return separator.join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
