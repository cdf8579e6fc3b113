"""Callers whom the exchange originates through ARI: against the stand-in, with a real relay and a real echo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtppool_callgen.callers.ari import AriCallers
from rtppool_callgen.callers.asterisk_client import AsteriskClient
from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.local.system import (
    LOOPBACK,
    LocalSystem,
    StandInAddress,
    end_all,
    new_stand_in_address,
    start_services,
    start_stand_in,
)
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_testing.ports import free_port, free_range

pytestmark = pytest.mark.timeout(180)
APPLICATION = "rtp-pool"
REGISTERED_SECONDS = 90.0


def asterisk(address: StandInAddress) -> AsteriskClient:
    user = address.credentials
    return AsteriskClient(f"http://{LOOPBACK}:{address.port}/ari", user["ARI_USER"], user["ARI_PASS"])


@asynccontextmanager
async def system(folder: Path, ports: int) -> AsyncIterator[StandInAddress]:
    """Relay, echo and stand-in, connected."""
    http, echo_http, echo = (free_port() for _ in range(3))
    address = new_stand_in_address()
    children = start_services(LocalSystem(http, echo_http, str(free_range(ports)), echo, "off"), address, folder)
    children.append(start_stand_in(address, [], folder))
    deadline = asyncio.get_running_loop().time() + REGISTERED_SECONDS
    try:
        async with asterisk(address) as client:
            while True:
                for child in children:
                    child.check()
                try:
                    if await client.request("GET", f"/applications/{APPLICATION}", may_be_missing=True):
                        break
                except CallersFailed:
                    pass  # the stand-in does not listen yet
                assert asyncio.get_running_loop().time() < deadline, "the relay did not register"
                await asyncio.sleep(0.02)
        yield address
    finally:
        await end_all(children)


async def test_all_calls_are_placed_and_completed_and_nothing_is_left(tmp_path: Path) -> None:
    plan = LoadPlan(concurrent=2, per_second=10, duration_seconds=8, call_seconds=4)
    async with (
        system(tmp_path, ports=4) as address,
        AriCallers(plan, asterisk(address), "Local/s@talkers", APPLICATION) as callers,
    ):
        await callers.call(asyncio.Event())
        tally = callers.tally()
    assert (tally.placed, tally.completed, tally.failed, tally.refused) == (4, 4, {}, {})
    assert (tally.channels_left, tally.bridges_left, tally.over) == (0, 0, True)
    # Packets are the exchange's.
    assert (tally.heard_nothing, tally.round_trips) == (None, None)


async def test_a_refused_call_is_told_with_its_reason(tmp_path: Path) -> None:
    # A busy machine takes more than a second to answer a call.
    plan = LoadPlan(concurrent=3, per_second=10, duration_seconds=6, call_seconds=6)
    async with (
        system(tmp_path, ports=1) as address,
        AriCallers(plan, asterisk(address), "Local/s@talkers", APPLICATION) as callers,
    ):
        await callers.call(asyncio.Event())
        tally = callers.tally()
    assert tally.completed == 1
    assert set(tally.refused) == {"NoFreePort"}
    assert tally.placed == tally.completed + tally.refused["NoFreePort"]


async def test_an_application_that_no_relay_serves_is_named() -> None:
    plan = LoadPlan(concurrent=1, per_second=1, duration_seconds=1, call_seconds=1)
    async with StandIn("127.0.0.1", 0, "user", "secret") as stand_in:
        callers = AriCallers(plan, AsteriskClient(stand_in.url, "user", "secret"), "Local/s@talkers", "nobody")
        with pytest.raises(CallersFailed, match="no relay serves the application nobody"):
            async with callers:
                pass


async def test_a_wrong_password_is_told_as_asterisk_answers_it() -> None:
    plan = LoadPlan(concurrent=1, per_second=1, duration_seconds=1, call_seconds=1)
    async with StandIn("127.0.0.1", 0, "user", "secret") as stand_in:
        callers = AriCallers(plan, AsteriskClient(stand_in.url, "user", "wrong"), "Local/s@talkers", APPLICATION)
        with pytest.raises(CallersFailed, match="Asterisk answers 401 to GET"):
            async with callers:
                pass
