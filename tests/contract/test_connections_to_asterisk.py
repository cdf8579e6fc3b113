"""The connection to Asterisk: wrong credentials, an Asterisk that comes later, a second client of the application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_relay.ari import session
from rtppool_relay.ari.messages import AriEvent
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.ari.session import AriSession
from rtppool_testing.ports import free_port
from rtppool_testing.waiting import until

APPLICATION = "rtp-pool"


class NoCalls:
    def handle(self, event: AriEvent) -> None:
        pass

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


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_PAUSE_SECONDS", 0.2)


@asynccontextmanager
async def connecting(url: str, password: str) -> AsyncIterator[tuple[AriSession, list[float]]]:
    """Run a session without calls. Yield it with the factors of the pauses so far, one for each failed attempt."""
    client, pauses = AriClient(url, "relay", password), []

    def uniform(low: float, _high: float) -> float:
        pauses.append(low)
        return low

    calls = NoCalls()
    running = AriSession(client, url, APPLICATION, calls, calls, time.time_ns, uniform, PeriodicJobs())
    task = asyncio.create_task(running.run())
    try:
        yield running, pauses
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def connected(running: AriSession, stand_in: StandIn) -> None:
    await until(lambda: running.report().state == "Connected", "connected to Asterisk")
    assert stand_in.switchboard.is_registered(APPLICATION)


async def test_another_client_of_the_same_application_is_not_fought_and_its_place_is_taken_when_it_goes(
    stand_in: StandIn,
) -> None:
    async with connecting(stand_in.url, "secret") as (running, _):
        await connected(running, stand_in)
        rival = AriClient(stand_in.url, "relay", "secret")
        async with rival.events(APPLICATION):
            await until(lambda: running.report().state == "Replaced", "replaced")
            assert f"APP_NAME={APPLICATION}" in (running.report().reason or "")
        await rival.close()
        await connected(running, stand_in)


async def test_a_wrong_password_is_in_the_report(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    async with connecting(stand_in.url, "wrong") as (running, pauses):
        await until(lambda: running.report().state == "Unauthorized", "unauthorized")
        assert "ARI_USER=relay" in (running.report().reason or "")
        await until(lambda: len(pauses) > 3, "several attempts")
        lines = [line for line in caplog.messages if "is refused by" in line]
        assert len(lines) == 1
        assert "wrong" not in "".join(caplog.messages)


async def test_an_asterisk_that_is_not_there_is_logged_once_and_found_when_it_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    async with connecting(f"http://127.0.0.1:{port}/ari", "secret") as (running, pauses):
        await until(lambda: "can't be connected" in (running.report().reason or ""), "unreachable")
        await until(lambda: len(pauses) > 3, "several attempts")
        assert len([line for line in caplog.messages if "can't be connected" in line]) == 1
        async with StandIn("127.0.0.1", port, "relay", "secret") as late:
            await connected(running, late)
