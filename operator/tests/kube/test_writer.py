"""Many writes at once, independent of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import pytest

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.writer import NotLeadingError, Writer
from rtppool_operator.work_counters import WorkCounters


@pytest.fixture
def leads() -> list[bool]:
    return [True]


@pytest.fixture
def counts() -> WorkCounters:
    return WorkCounters()


@pytest.fixture
def writer(leads: list[bool], counts: WorkCounters) -> Writer:
    return Writer(lambda: leads[0], counts)


def writes(*calls: Callable[[], Coroutine[Any, Any, Any]]) -> Sequence[Callable[[], Coroutine[Any, Any, Any]]]:
    return calls


async def give(number: int) -> int:
    return number


async def add(done: list[int], number: int) -> None:
    done.append(number)


async def refused() -> int:
    raise ClusterError("patch status of voice/bad: 422 invalid", 422)


async def test_results_stand_in_the_order_of_their_calls_and_a_failure_in_its_place(
    writer: Writer, counts: WorkCounters
) -> None:
    results = await writer.write_all("status", writes(partial(give, 1), refused, partial(give, 3)), 8)
    assert results[0] == 1
    assert isinstance(results[1], ClusterError)
    assert results[2] == 3
    assert counts.errors == {"status": 1}


async def test_so_many_are_on_their_way_and_no_more(writer: Writer) -> None:
    now, most = [0], [0]

    async def call() -> None:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0.001)
        now[0] -= 1

    await writer.write_all("annotation", [call] * 24, 8)
    assert most[0] == 8


async def test_a_failure_is_told_once_and_its_end_as_well(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for call in (refused, refused, partial(give, 1), partial(give, 1)):
        await writer.write_all("status", [call], 1)
    assert caplog.messages == ["patch status of voice/bad: 422 invalid", "status: works again"]


async def test_without_the_lease_nothing_more_begins(writer: Writer, leads: list[bool]) -> None:
    done: list[int] = []

    async def lose() -> None:
        done.append(1)
        leads[0] = False

    with pytest.raises(NotLeadingError):
        await writer.write_all("status", writes(lose, partial(add, done, 2), partial(add, done, 3)), 1)
    await asyncio.sleep(0)
    assert done == [1]
    with pytest.raises(NotLeadingError, match="configuration: the lease was not renewed in time"):
        await writer.write("configuration", partial(add, done, 4))
    assert done == [1]


async def test_a_write_that_fails_by_a_bug_stops_no_other(writer: Writer, counts: WorkCounters) -> None:
    async def broken() -> int:
        raise TypeError("not serializable")

    results = await writer.write_all("status", writes(broken, partial(give, 2)), 8)
    assert isinstance(results[0], ClusterError)
    assert "status failed unexpectedly: TypeError('not serializable')" in str(results[0])
    assert results[1] == 2
    assert counts.errors == {"status": 1}


async def test_a_write_that_has_started_ends_although_its_round_is_cancelled(writer: Writer) -> None:
    started, may_end, done = asyncio.Event(), asyncio.Event(), list[int]()

    async def call() -> None:
        started.set()
        await may_end.wait()
        done.append(1)

    round_ = asyncio.create_task(writer.write_all("configuration", writes(call, partial(add, done, 2)), 1))
    await started.wait()
    round_.cancel()
    await asyncio.gather(round_, return_exceptions=True)
    finished = asyncio.create_task(writer.finish())
    await asyncio.sleep(0)
    assert not finished.done(), "the lease is not released before"
    may_end.set()
    await finished
    assert done == [1], "and none begins"


async def test_a_write_that_fails_after_its_round_was_cancelled_is_logged(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()

    async def call() -> int:
        started.set()
        await may_end.wait()
        return await refused()

    round_ = asyncio.create_task(writer.write("status", call))
    await started.wait()
    round_.cancel()
    await asyncio.gather(round_, return_exceptions=True)
    may_end.set()
    await writer.finish()
    assert caplog.messages == ["a write in progress at the end failed: patch status of voice/bad: 422 invalid"]
