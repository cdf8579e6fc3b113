"""The tasks that ask relays, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.observed import POLL_SECONDS
from rtppool_operator.relays.polling import JOB, MIN_PAUSE_SECONDS, Poller

pytestmark = pytest.mark.looptime

MakeRelay = Callable[..., RelayPod]


class Asked(Poller):
    """Notes each request, as an earlier relay answers it."""

    def __init__(self) -> None:
        super().__init__(None, monotonic=asyncio.get_running_loop().time)
        self.requests: list[tuple[float, str, str | None]] = []
        self.fault: Exception | None = None

    async def ask(self, relay: RelayPod, *, is_behind: bool = False) -> float:
        self.requests.append((asyncio.get_running_loop().time(), relay.uid, relay.address))
        if self.fault is not None:
            raise self.fault
        return MIN_PAUSE_SECONDS if is_behind else POLL_SECONDS


@asynccontextmanager
async def following() -> AsyncIterator[tuple[Asked, PeriodicJobs]]:
    jobs, asked = PeriodicJobs(asyncio.get_running_loop().time), Asked()
    yield asked, jobs
    await asked.close()


async def test_each_relay_is_asked_at_once_and_then_at_its_own_pace(make_relay: MakeRelay) -> None:
    async with following() as (asked, jobs):
        asked.follow([make_relay("a"), make_relay("b")], jobs)
        await asyncio.sleep(10.1)
        assert len(asked.requests) == 2 * 6
        asked.follow([make_relay("a"), make_relay("b")], jobs)
        await asyncio.sleep(0)
        assert len(asked.requests) == 2 * 6, "nothing has changed"


async def test_a_relay_that_is_gone_is_not_asked_again(make_relay: MakeRelay) -> None:
    async with following() as (asked, jobs):
        asked.follow([make_relay("a"), make_relay("b")], jobs)
        await asyncio.sleep(1)
        asked.follow([make_relay("b")], jobs)
        asked.requests.clear()
        await asyncio.sleep(10)
        assert {uid for _, uid, _ in asked.requests} == {"uid-relay-b"}


async def test_a_relay_that_has_an_address_now_is_asked_at_once(make_relay: MakeRelay) -> None:
    async with following() as (asked, jobs):
        asked.follow([replace(make_relay("a"), address=None)], jobs)
        await asyncio.sleep(0.1)
        asked.follow([make_relay("a")], jobs)
        await asyncio.sleep(0.1)
        assert [address for _, _, address in asked.requests] == [None, "192.0.2.1"]


async def test_a_relay_that_falls_behind_is_asked_at_once_and_more_often(make_relay: MakeRelay) -> None:
    async with following() as (asked, jobs):
        asked.follow([make_relay("a"), make_relay("b")], jobs)
        await asyncio.sleep(0.5)
        asked.requests.clear()
        for _ in range(3):
            asked.hurry({"uid-relay-a"})
            await asyncio.sleep(MIN_PAUSE_SECONDS / 2)
        assert [uid for _, uid, _ in asked.requests] == ["uid-relay-a"] * 2
        asked.hurry(set())
        await asyncio.sleep(0.5)
        asked.requests.clear()
        await asyncio.sleep(4)
        assert len(asked.requests) == 4


async def test_a_bug_in_a_request_ends_no_task(make_relay: MakeRelay) -> None:
    async with following() as (asked, jobs):
        asked.fault = RuntimeError("a bug")
        asked.follow([make_relay("a")], jobs)
        await asyncio.sleep(0.1)
        asked.fault = None
        await asyncio.sleep(5)
        assert jobs.failures() == {JOB: 1}
        assert len(asked.requests) >= 3


async def test_nothing_is_left_after_the_end(make_relay: MakeRelay) -> None:
    async with following() as (asked, jobs):
        asked.follow([make_relay("a")], jobs)
        await asyncio.sleep(1)
    asked.requests.clear()
    await asyncio.sleep(60)
    assert asked.requests == []
