"""Faults around every request of a call leave nothing in Asterisk, lose no port, and each call is counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from exchange import (
    APPLICATION,
    IDS,
    PORTS,
    Exchange,
    Moment,
    caller_hangs_up,
    counted,
    nothing_is_left,
    running_exchange,
    talks,
    until,
)

from rtppool_callgen.stand_in.switchboard import SwitchboardError

REQUEST_SECONDS = 4.0
# Where a test lets a request time out.
IMPATIENT_SECONDS = 0.25


def request_seconds(request: pytest.FixtureRequest) -> float:
    """Return a time-out for a busy machine, or a short one where the time-out is the test."""
    parameters = getattr(request.node, "callspec", None)
    impatient = parameters is not None and parameters.params.get("fault") is asterisk_does_not_answer
    return IMPATIENT_SECONDS if impatient else REQUEST_SECONDS


@pytest.fixture
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    async with running_exchange(request_seconds(request)) as running:
        yield running


async def media_goes(exchange: Exchange) -> None:
    if IDS.media("standin-1") in exchange.stand_in.switchboard.channels:
        exchange.stand_in.hang_up(IDS.media("standin-1"))


async def bridge_is_deleted(exchange: Exchange) -> None:
    if IDS.bridge("standin-1") in exchange.stand_in.switchboard.bridges:
        exchange.stand_in.switchboard.delete_bridge(IDS.bridge("standin-1"))


async def websocket_is_cut(exchange: Exchange) -> None:
    exchange.stand_in.hub.disconnect(APPLICATION)


async def asterisk_says_500(_exchange: Exchange) -> None:
    raise SwitchboardError(500, "Internal Server Error")


async def asterisk_does_not_answer(_exchange: Exchange) -> None:
    await asyncio.sleep(IMPATIENT_SECONDS + 0.1)


FAULTS = [
    caller_hangs_up,
    media_goes,
    bridge_is_deleted,
    websocket_is_cut,
    asterisk_says_500,
    asterisk_does_not_answer,
]
SETUP = [
    ("POST", "/channels/*/answer"),
    ("POST", "/bridges"),
    ("POST", "/channels/externalMedia"),
    ("POST", "/bridges/*/addChannel"),
    ("GET", "/channels/*/variable"),
]
TEARDOWN = [("DELETE", "/channels/*"), ("DELETE", "/bridges/*")]
MOMENTS: list[Moment] = ["before", "after"]
Fault = Callable[[Exchange], Awaitable[None]]


@pytest.mark.parametrize("start_after_reply", [False, True], ids=["starts before the reply", "starts after the reply"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("method", "path"), SETUP)
async def test_a_fault_around_a_request_of_the_set_up_leaves_nothing(
    exchange: Exchange, method: str, path: str, fault: Fault, moment: Moment, start_after_reply: bool
) -> None:
    exchange.stand_in.start_after_reply = start_after_reply
    exchange.when(method, path, moment, lambda: fault(exchange))
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.happened, "the fault happened")
    await until(lambda: talks(exchange) or exchange.calls.active_calls == 0, "the call talks or has ended")
    counted(exchange)
    if exchange.stand_in.callers():
        exchange.stand_in.hang_up("standin-1")
    await nothing_is_left(exchange)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("method", "path"), TEARDOWN)
async def test_a_fault_around_a_request_of_the_teardown_leaves_nothing(
    exchange: Exchange, method: str, path: str, fault: Fault, moment: Moment
) -> None:
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: talks(exchange), "the call talks")
    exchange.when(method, path, moment, lambda: fault(exchange))
    exchange.stand_in.hang_up("standin-1")
    await until(lambda: exchange.happened, "the fault happened")
    await nothing_is_left(exchange)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("method", "path"), [("POST", "/channels/*/variable"), ("POST", "/channels/*/continue")])
async def test_a_fault_while_a_caller_is_refused_leaves_nothing(
    exchange: Exchange, method: str, path: str, fault: Fault, moment: Moment
) -> None:
    held = [exchange.ports.lease(0.0) for _ in range(PORTS)]
    exchange.when(method, path, moment, lambda: fault(exchange))
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.happened, "the fault happened")
    await until(lambda: exchange.calls.report().refused == {"NoFreePort": 1}, "the refusal is counted")
    for port in held:
        exchange.ports.release(port, 0.0)
    if exchange.stand_in.callers():
        exchange.stand_in.hang_up("standin-1")
    await nothing_is_left(exchange)


@pytest.mark.parametrize("seed", [1, 2])
async def test_callers_who_come_and_go_at_random_leave_nothing(exchange: Exchange, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        exchange.stand_in.start_after_reply = chance.random() < 0.5
        caller = exchange.stand_in.place_call(APPLICATION)
        await asyncio.sleep(chance.random() * 0.06)
        if caller in exchange.stand_in.callers():
            exchange.stand_in.hang_up(caller)
        counted(exchange)
    await nothing_is_left(exchange)
    assert exchange.calls.report().arrived == 40
