"""The form of a fault, and the stage that it strikes."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.faults.operator.relays.fake_relay import FakeRelay
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig

Lift = Callable[[], Awaitable[None]]
# The time to convergence after a fault.
BOUND_SECONDS = 20.0


@dataclass(slots=True)
class Stage:
    """The target of faults. `operator` is the operator that should work."""

    rig: Rig
    chance: random.Random
    operator: OperatorProcess

    def any_relay(self) -> FakeRelay:
        """Return a random relay."""
        return self.chance.choice(list(self.rig.relays.by_node.values()))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `strike` causes it and returns the action that lifts it, after at most `longest_seconds`.

    The state converges within `bound_seconds` of the lift.
    """

    name: str
    strike: Callable[[Stage], Awaitable[Lift]]
    longest_seconds: float = 3.0
    bound_seconds: float = BOUND_SECONDS


class BrokenRule(Exception):  # noqa: N818 an outcome
    """The product broke a rule during a fault."""


class StuckDeletion(Exception):  # noqa: N818 an outcome
    """A deleted object that waits for a finalizer."""


async def nothing() -> None:
    """Lift a fault that has no duration."""
