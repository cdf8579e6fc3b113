"""The pauses between attempts to connect to Asterisk, in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import cast

import pytest

from rtppool_core.process.periodic import PeriodicJobs
from rtppool_relay.ari.errors import AriUnreachable
from rtppool_relay.ari.messages import AriEvent
from rtppool_relay.ari.rest import HANDSHAKE_SECONDS, AriClient
from rtppool_relay.ari.session import MAX_COMPARE_SECONDS, AriSession

pytestmark = pytest.mark.looptime


class NoCalls:
    def handle(self, event: AriEvent) -> None:
        raise AssertionError(event)

    def begin_connection(self) -> None:
        pass

    def set_rights_problem(self, problem: str | None) -> None:
        pass

    async def compare(self, *, only_ends: bool = False) -> None:
        pass

    async def check_list(self) -> bool:
        return True

    async def wait(self, max_seconds: float) -> None:
        await asyncio.sleep(max_seconds)


class SlowComparison(NoCalls):
    async def compare(self, *, only_ends: bool = False) -> None:
        del only_ends
        await asyncio.sleep(60)


class SilentUntil:
    """An Asterisk whose handshakes wait for their limit up to a moment, and succeed later on."""

    events_ignored = 0

    def __init__(self, back_at: float) -> None:
        self._back_at = back_at

    @asynccontextmanager
    async def events(self, _application: str) -> AsyncIterator[AsyncIterator[AriEvent]]:
        loop = asyncio.get_running_loop()
        if loop.time() < self._back_at:
            await asyncio.sleep(HANDSHAKE_SECONDS)
            raise AriUnreachable("no answer")
        yield endless()

    async def check_rights(self) -> None:
        pass


class Gone:
    """An Asterisk that answers only the attempts in `there`. Their connections break at once."""

    def __init__(self, there: frozenset[int] = frozenset()) -> None:
        self.tried_at: list[float] = []
        self._there = there

    @asynccontextmanager
    async def events(self, _application: str) -> AsyncIterator[AsyncIterator[AriEvent]]:
        self.tried_at.append(asyncio.get_running_loop().time())
        if len(self.tried_at) not in self._there:
            raise AriUnreachable("away")
        yield nothing()

    async def check_rights(self) -> None:
        pass


class Dropped(NoCalls):
    """An Asterisk that answers, and drops the application of its first connection."""

    events_ignored = 0

    def __init__(self) -> None:
        self.connections = 0

    @asynccontextmanager
    async def events(self, _application: str) -> AsyncIterator[AsyncIterator[AriEvent]]:
        self.connections += 1
        yield endless()

    async def check_rights(self) -> None:
        pass

    async def check_list(self) -> bool:
        return self.connections > 1


async def nothing() -> AsyncIterator[AriEvent]:
    for event in ():
        yield event


async def endless() -> AsyncIterator[AriEvent]:
    await asyncio.sleep(3600)
    for event in ():
        yield event


def session_of(asterisk: object, calls: NoCalls, uniform: Callable[[float, float], float]) -> AriSession:
    client = cast("AriClient", asterisk)
    return AriSession(
        *(client, "http://pbx:8088/ari", "rtp-pool", calls, calls, time.time_ns, uniform, PeriodicJobs()),
    )


async def pauses_of(asterisk: Gone, uniform: Callable[[float, float], float], seconds: float) -> list[float]:
    """Return the pauses before the first attempt and between all."""
    session = session_of(asterisk, NoCalls(), uniform)
    began = asyncio.get_running_loop().time()
    task = asyncio.create_task(session.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    times = [began, *asterisk.tried_at]
    return [round(later - earlier, 6) for earlier, later in pairwise(times)]


async def test_the_first_attempt_is_at_once_and_pauses_double_up_to_one_second() -> None:
    pauses = await pauses_of(Gone(), lambda _low, high: high, 5.0)
    assert pauses == [0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


async def test_chance_makes_a_pause_up_to_half_as_long() -> None:
    asked: list[tuple[float, float]] = []

    def lowest(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    assert await pauses_of(Gone(), lowest, 4.0) == [0, 0.05, 0.1, 0.2, 0.4] + 6 * [0.5]
    assert set(asked) == {(0.5, 1.0)}


async def test_after_a_connection_pauses_begin_anew() -> None:
    pauses = await pauses_of(Gone(there=frozenset({4})), lambda _low, high: high, 1.6)
    assert pauses == [0, 0.1, 0.2, 0.4, 0.1, 0.2, 0.4]


@pytest.mark.parametrize("silent_tenths", range(0, 120, 3))
async def test_callers_are_served_within_five_seconds_of_a_silent_asterisk_s_return(silent_tenths: int) -> None:
    loop = asyncio.get_running_loop()
    back_at = loop.time() + silent_tenths / 10
    session = session_of(SilentUntil(back_at), SlowComparison(), lambda _low, high: high)
    task = asyncio.create_task(session.run())
    while session.report().state != "Connected":
        await asyncio.sleep(0.01)
    assert loop.time() - back_at <= 5.0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("asterisk", "calls", "seconds"),
    [
        (SilentUntil(0), SlowComparison(), MAX_COMPARE_SECONDS),
        (SilentUntil(0), NoCalls(), 0),
        (SilentUntil(60), NoCalls(), HANDSHAKE_SECONDS),
    ],
)
async def test_the_first_attempt_ends_when_calls_are_adopted_or_with_its_failure(
    asterisk: SilentUntil, calls: NoCalls, seconds: float
) -> None:
    session = session_of(asterisk, calls, lambda low, _: low)
    began = asyncio.get_running_loop().time()
    task = asyncio.create_task(session.run())
    await session.first_attempt_ended.wait()
    assert asyncio.get_running_loop().time() - began == pytest.approx(seconds, abs=1e-3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_application_that_asterisk_drops_is_registered_again() -> None:
    asterisk = Dropped()
    session = session_of(asterisk, asterisk, lambda low, _: low)
    task = asyncio.create_task(session.run())
    await asyncio.sleep(30)
    assert asterisk.connections == 2
    assert session.report().state == "Connected"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
