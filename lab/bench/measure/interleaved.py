"""Interleaved rounds: each round observes every candidate, so that a change of the machine affects all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from lab.base.machine_load import CpuTimes, cpu_times, stolen_percent
from lab.bench.session import Session

MAX_STEAL_PER_CENT = 1.0
MAX_REPEATS = 3

Observation = TypeVar("Observation")


async def interleaved(
    session: Session,
    candidates: Sequence[str],
    observe: Callable[[str], Awaitable[Observation]],
    read_times: Callable[[], CpuTimes] = cpu_times,
    *,
    warm_up: bool = True,
) -> dict[str, list[Observation]]:
    """Return `session.rounds` observations of each candidate, with `warm_up` after a round that is left out.

    The order rotates by one each round, so that no candidate is always first. A round in which the hypervisor took
    more than `MAX_STEAL_PER_CENT` of the processors is repeated, at most `MAX_REPEATS` times, and marked then.
    """
    found: dict[str, list[Observation]] = {name: [] for name in candidates}
    for number in range(0 if warm_up else 1, session.rounds + 1):
        turn = number % len(candidates)
        order = [*candidates[turn:], *candidates[:turn]]
        title = f"round {number or 'warm-up'} of {session.rounds}"
        for repeat in range(MAX_REPEATS + 1):
            before = read_times()
            observations = {}
            for name in order:
                session.say(f"{title}: {name}")
                observations[name] = await observe(name)
            stolen = stolen_percent(before, read_times())
            if number == 0 or stolen <= MAX_STEAL_PER_CENT:
                break
            if repeat == MAX_REPEATS:
                session.marks.append(f"{title} has {stolen:.1f} % steal, and so had {MAX_REPEATS} repetitions")
            else:
                session.say(f"{title}: {stolen:.1f} % steal; it is repeated")
        if number:
            for name, observation in observations.items():
                found[name].append(observation)
    return found
