from __future__ import annotations

import pytest

from rtppool_testing.waiting import until


async def test_waiting_ends_when_the_condition_holds() -> None:
    polls = iter([False, False, True])
    await until(lambda: next(polls))


async def test_an_asynchronous_condition_is_awaited() -> None:
    polls = iter([False, True])

    async def condition() -> bool:
        return next(polls)

    await until(condition)


async def test_a_condition_that_never_holds_fails_with_its_name() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.02 s: the echo to answer"):
        await until(lambda: False, "the echo to answer", within_seconds=0.02)
