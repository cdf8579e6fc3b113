"""Scenarios under test. A run that proves nothing is void, and is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lab.base.errors import LabError
from lab.bench.causes.stage import SECONDS_AROUND, SETTLES_SECONDS, Observation, Scenario, observe
from lab.bench.load.load_generator import SEED
from lab.bench.session import Session

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a measurement makes of a run: why it is void (empty: it is not), a line, and the raw figures."""

    void_reason: Callable[[Observation], str]
    line: Callable[[Observation], str]
    raw: Callable[[Observation], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Trial:
    """The first run that is not void; None after `MAX_ATTEMPTS`, then `void` is the reason of the last one.

    `notes` are the raw figures of all runs that came to their end.
    """

    observation: Observation | None
    notes: list[dict[str, Any]]
    void: str = ""


def choose(session: Session, scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Return the scenarios with one of the session's words in their names; all without words."""
    words = session.scenarios
    return [each for each in scenarios if not words or any(word in each.name for word in words)]


def estimated_seconds(session: Session, scenarios: Iterable[Scenario]) -> float:
    """Return the duration of the chosen scenarios, none void."""
    return len(choose(session, scenarios)) * (2 * session.stretch_seconds + 2 * SETTLES_SECONDS + SECONDS_AROUND)


async def run_until_valid(session: Session, scenario: Scenario, judgement: Judgement) -> Trial:
    """Run a scenario until one run is not void, at most `MAX_ATTEMPTS` times."""
    notes: list[dict[str, Any]] = []
    reason = ""
    for attempt in range(MAX_ATTEMPTS):
        session.say(f"{scenario.name}, run {attempt + 1}")
        try:
            observation = await observe(session, scenario, SEED + attempt)
        except LabError as error:
            reason = str(error)
            session.say(f"  void: {reason}")
            continue
        reason = judgement.void_reason(observation)
        notes.append({"void": reason, **judgement.raw(observation)})
        session.say(f"  {judgement.line(observation)}")
        if not reason:
            return Trial(observation, notes)
        session.say(f"  void: {reason}")
    return Trial(None, notes, reason)
