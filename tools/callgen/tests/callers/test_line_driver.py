"""Lines that call on an exchange, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from rtppool_callgen.callers.line_driver import ENDS_SECONDS, CallEnd, LineDriver, NotPlacedError
from rtppool_callgen.plan.caller_events import CallerEvent, Ended, NotPlaced, Placed
from rtppool_callgen.plan.plan import LoadPlan

PLAN = LoadPlan(concurrent=3, per_second=2, duration_seconds=20, call_seconds=5)
pytestmark = pytest.mark.looptime


class Exchange:
    """Refuses every `refuse_every`-th call, and reports its end before or after placing returns."""

    def __init__(self, refuse_every: int = 0, *, at_once: bool = True, confirms: bool = True) -> None:
        self.events: list[CallerEvent] = []
        self.live: dict[str, float] = {}
        self.lasted: list[float] = []
        self.most = 0
        self.driver: LineDriver | None = None
        self._refuse_every = refuse_every
        self._at_once = at_once
        self._confirms = confirms
        self._placed = 0

    async def place(self) -> str:
        self._placed += 1
        channel = f"call-{self._placed}"
        self.live[channel] = asyncio.get_running_loop().time()
        self.most = max(self.most, len(self.live))
        if self._refuse_every and self._placed % self._refuse_every == 0:
            if self._at_once:
                self.end(channel, refused="NoFreePort")
            else:
                asyncio.get_running_loop().call_later(0.01, lambda: self.end(channel, refused="NoFreePort"))
        return channel

    async def hang_up(self, channel: str) -> None:
        self.lasted.append(asyncio.get_running_loop().time() - self.live[channel])
        if self._confirms:
            self.end(channel)

    def end(self, channel: str, refused: str | None = None) -> None:
        assert self.driver is not None
        del self.live[channel]
        self.driver.ended(CallEnd(channel, refused is None, refused))


async def drive(exchange: Exchange, stop: asyncio.Event | None = None, plan: LoadPlan = PLAN) -> None:
    exchange.driver = LineDriver(plan, exchange, exchange.events.append)
    await exchange.driver.run(stop or asyncio.Event())


def outcomes(exchange: Exchange) -> Counter[str]:
    return Counter(event.outcome for event in exchange.events if isinstance(event, Ended))


async def test_all_calls_are_placed_last_their_time_and_are_told_once() -> None:
    exchange = Exchange()
    await drive(exchange)
    assert outcomes(exchange) == {"completed": PLAN.calls}
    assert sum(isinstance(event, Placed) for event in exchange.events) == PLAN.calls
    assert exchange.lasted == pytest.approx([5.0] * PLAN.calls, abs=0.01)
    assert exchange.most == PLAN.concurrent


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_refused_caller_is_told_as_refused_and_calls_again(at_once: bool) -> None:
    exchange = Exchange(refuse_every=4, at_once=at_once)
    await drive(exchange)
    found = outcomes(exchange)
    placed = sum(isinstance(event, Placed) for event in exchange.events)
    assert found["refused"] == placed // 4
    assert found["completed"] == placed - placed // 4
    assert {event.reason for event in exchange.events if isinstance(event, Ended)} == {None, "NoFreePort"}


async def test_a_call_that_can_not_be_placed_is_told_and_tried_again() -> None:
    class Shut(Exchange):
        async def place(self) -> str:
            if not self.events:
                raise NotPlacedError("Stasis application 'rtp-pool' is not registered")
            return await super().place()

    exchange = Shut()
    await drive(exchange, plan=LoadPlan(1, 2, 20, 5))
    assert exchange.events[0] == NotPlaced("Stasis application 'rtp-pool' is not registered")
    assert outcomes(exchange)["completed"] == 4


async def test_asked_to_stop_all_hang_up_and_are_told_as_interrupted() -> None:
    exchange, stop = Exchange(), asyncio.Event()
    asyncio.get_running_loop().call_later(8.0, stop.set)
    await drive(exchange, stop)
    assert not exchange.live
    assert outcomes(exchange)["interrupted"] == PLAN.concurrent
    assert asyncio.get_running_loop().time() < 9


async def test_a_hang_up_that_is_never_confirmed_is_told_as_failed() -> None:
    exchange = Exchange(confirms=False)
    await drive(exchange, plan=LoadPlan(1, 1, 5, 5))
    assert exchange.events[-1] == Ended("call-1", "failed", "HangUpNotConfirmed")
    assert asyncio.get_running_loop().time() == pytest.approx(5 + ENDS_SECONDS, abs=0.5)


async def test_ends_of_calls_that_are_not_ours_are_nobodys() -> None:
    exchange = Exchange()
    exchange.driver = LineDriver(PLAN, exchange, exchange.events.append)
    exchange.driver.ended(CallEnd("somebody else's", answered=True))
    assert exchange.events == []
