"""A campaign: random faults of operator, API server, relays and people during edits, and the times to convergence."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.faults.operator.api.resources import NAMESPACE, OTHER_NAMESPACE, pool, pools_of
from lab.faults.operator.rig.rig import NotConverged, Rig
from lab.faults.operator.runs.edits import edit
from lab.faults.operator.runs.faults import strike_and_lift
from lab.faults.operator.runs.stage import BOUND_SECONDS, BrokenRule, Fault, Stage, StuckDeletion

NODES = 6
CONVERGE_SECONDS = 90.0
FIRST_SECONDS = 30.0
QUIET_EDITS = 10
EDITS_PER_FAULT = 3


@dataclass(frozen=True, slots=True)
class Round:
    """One fault. `seconds` run from its end, or the last edit, to convergence; None: not converged.

    `bound_seconds` is the fault's bound of that time.
    """

    fault: str
    seconds: float | None
    problem: str = ""
    bound_seconds: float = BOUND_SECONDS


@dataclass(slots=True)
class Outcome:
    """All rounds, and the times to convergence of edits without a fault.

    `older_configurations` counts those in which a pool had an older generation than in an earlier one.
    """

    seed: int
    quiet_seconds: list[float] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    stuck_deletions: int = 0
    older_configurations: int = 0

    @property
    def converged(self) -> list[float]:
        """The times of the rounds that converged."""
        return [each.seconds for each in self.rounds if each.seconds is not None]

    @property
    def failed(self) -> list[Round]:
        """The rounds that did not converge."""
        return [each for each in self.rounds if each.seconds is None]

    def lines(self) -> list[str]:
        """Return the result as sentences."""
        times, quiet = self.converged, self.quiet_seconds
        median, worst_quiet = statistics.median(quiet), max(quiet)
        lines = [
            f"{len(self.rounds)} faults (seed {self.seed}): {len(times)} converged, {self.stuck_deletions} stuck",
            f"an edit without a fault reaches the status after {median:.1f} s, at worst {worst_quiet:.1f} s",
        ]
        if times:
            worst = max(self.rounds, key=lambda each: each.seconds or 0.0)
            lines.append(
                f"after a fault: median {statistics.median(times):.1f} s, worst {max(times):.1f} s ({worst.fault})"
            )
        lines += [f"NOT CONVERGED after «{each.fault}»: {each.problem}" for each in self.failed]
        return lines


async def campaign(
    stage: Stage, seed: int, faults: int, chosen: Sequence[Fault], say: Callable[[str], None]
) -> Outcome:
    """Run a campaign.

    Raises:
        NotConverged: the state before the first fault is not reached.
        LabError: the rig fails.
    """
    rig, outcome = stage.rig, Outcome(seed)
    await _set_up(rig)
    stage.operator.start()
    await rig.converge(FIRST_SECONDS)
    for _ in range(QUIET_EDITS):
        await edit(rig, stage.chance)
        outcome.quiet_seconds.append(await rig.converge(FIRST_SECONDS))
    for number in range(faults):
        round_ = await _round(stage, stage.chance.choice(chosen), outcome)
        outcome.rounds.append(round_)
        outcome.older_configurations = rig.relays.older_configurations
        result = f"{round_.seconds:.1f} s" if round_.seconds is not None else f"NOT CONVERGED: {round_.problem}"
        say(f"{number + 1}/{faults} {round_.fault}: {result}")
    return outcome


async def _set_up(rig: Rig) -> None:
    await rig.relays.add((f"node-{number}", {"zone": "ab"[number % 2]}) for number in range(NODES))
    await rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
    selecting = pool(OTHER_NAMESPACE, "zone-a", 11_000, 11_100, nodeSelector={"zone": "a"})
    await rig.api.create(pools_of(OTHER_NAMESPACE), selecting)


async def _round(stage: Stage, fault: Fault, outcome: Outcome) -> Round:
    """Play a fault, with random edits before, during and after it."""
    try:
        await _strike_and_edit(stage, fault)
        seconds = await stage.rig.converge(CONVERGE_SECONDS)
        # The next fault has its own bound.
        stage.rig.proxy.give_up()
    except StuckDeletion as stuck:
        outcome.stuck_deletions += 1
        return Round(fault.name, None, str(stuck), fault.bound_seconds)
    except (NotConverged, BrokenRule) as missed:
        outcome.stuck_deletions += "deletion is stuck" in str(missed)
        await _replace_operator(stage)
        return Round(fault.name, None, str(missed), fault.bound_seconds)
    return Round(fault.name, seconds, bound_seconds=fault.bound_seconds)


async def _strike_and_edit(stage: Stage, fault: Fault) -> None:
    meanwhile = asyncio.create_task(_edits(stage))
    try:
        await strike_and_lift(stage, fault)
    finally:
        await meanwhile


async def _edits(stage: Stage) -> None:
    for _ in range(stage.chance.randint(1, EDITS_PER_FAULT)):
        await edit(stage.rig, stage.chance)
        await asyncio.sleep(stage.chance.uniform(0.0, 1.0))


async def _replace_operator(stage: Stage) -> None:
    """Start a new operator, so that the next fault meets a working one."""
    await stage.operator.end()
    stage.operator = stage.rig.operator()
    stage.operator.start()
    await stage.rig.converge(CONVERGE_SECONDS)
