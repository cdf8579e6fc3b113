"""The search for the highest step of a ladder that holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.bench.measure.lossless import LADDER, highest_that_holds


async def search(limit: int) -> tuple[int, int]:
    """Return the step that is found where all steps up to `limit` hold, and the number of tried steps."""
    tried = []

    async def holds(calls: int) -> bool:
        tried.append(calls)
        return calls <= limit

    return await highest_that_holds(LADDER, holds), len(tried)


@given(st.integers(0, 1_600))
async def test_the_highest_step_that_holds_is_found(limit: int) -> None:
    found, tried = await search(limit)
    assert found == max((step for step in LADDER if step <= limit), default=0)
    assert tried <= 6
