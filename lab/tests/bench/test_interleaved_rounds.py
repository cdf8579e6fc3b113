"""Rounds of a bench in rotating order, and those that the hypervisor disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, repeat
from pathlib import Path

from lab.base.machine_load import CpuTimes
from lab.bench.measure.interleaved import interleaved
from lab.bench.programs.compiled import Programs
from lab.bench.session import Session

NOWHERE = Path("/nowhere")
TICKS = 100


def session(rounds: int, said: list[str]) -> Session:
    programs = Programs(*(NOWHERE,) * 10)
    return Session(programs, None, rounds, 1.0, 1.0, 1.0, (), 1, 1.0, 1, NOWHERE, said.append)


async def names_of(candidates: Sequence[str], bench: Session, *stolen: int) -> list[str]:
    """Return the candidates in the order of their observations; `stolen` has the ticks of each round, then none."""
    readings = chain.from_iterable(
        (CpuTimes(at * TICKS, 0, total - ticks, 0, 0), CpuTimes((at + 1) * TICKS, 0, total, 0, 0))
        for at, (ticks, total) in enumerate(
            zip(chain(stolen, repeat(0)), accumulate(chain(stolen, repeat(0))), strict=True)
        )
    )
    observed: list[str] = []

    async def observe(name: str) -> int:
        observed.append(name)
        return len(observed)

    await interleaved(bench, candidates, observe, lambda: next(readings))
    return observed


async def test_each_round_begins_with_the_next_candidate() -> None:
    assert await names_of("ab", session(2, [])) == ["a", "b", "b", "a", "a", "b"]


async def test_a_round_with_steal_is_repeated_until_it_has_none() -> None:
    said: list[str] = []
    bench = session(1, said)
    assert await names_of("a", bench, 0, 5, 5, 1) == ["a"] * 4
    assert [line for line in said if "repeated" in line] == ["round 1 of 1: 5.0 % steal; it is repeated"] * 2
    assert bench.marks == []


async def test_a_round_that_had_steal_in_each_repetition_is_marked() -> None:
    bench = session(2, [])
    assert await names_of("a", bench, 0, 2, 2, 2, 3) == ["a"] * 6
    assert bench.marks == ["round 1 of 2 has 3.0 % steal, and so had 3 repetitions"]


async def test_a_warm_up_with_steal_is_not_repeated() -> None:
    bench = session(1, [])
    assert await names_of("a", bench, 50) == ["a", "a"]
    assert bench.marks == []
