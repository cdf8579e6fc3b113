"""Interleaved rounds: each round observes every candidate, so that a change of the machine affects all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from lab.bench.session import Session

Observation = TypeVar("Observation")


async def interleaved(
    session: Session, candidates: Sequence[str], observe: Callable[[str], Awaitable[Observation]]
) -> dict[str, list[Observation]]:
    """Return `session.rounds` observations of each candidate, after a warm-up round that is left out.

    The order rotates by one each round, so that no candidate is always first.
    """
    found: dict[str, list[Observation]] = {name: [] for name in candidates}
    for number in range(session.rounds + 1):
        turn = number % len(candidates)
        for name in [*candidates[turn:], *candidates[:turn]]:
            session.say(f"round {number or 'warm-up'} of {session.rounds}: {name}")
            observation = await observe(name)
            if number:
                found[name].append(observation)
    return found
