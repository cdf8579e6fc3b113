"""Requests that wait for the next report, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from msgspec import structs
from snapshots import MET, NOTHING, VIOLATED

from rtppool_core.contract.report import CallsReport, EchoReport, PoolReference, Report, Windows
from rtppool_core.contract.report_changes import COUNTS_SECONDS, DEFAULT_WAIT_SECONDS, MAX_WAIT_SECONDS, urgent_part
from rtppool_relay.http.report_waits import COMPARE_SECONDS, COUNT_SECONDS, MAX_HELD, ReportWaits

pytestmark = pytest.mark.looptime


@dataclass
class Relay:
    """A relay whose report the test sets, with its periodic comparison."""

    report: Report = field(default_factory=lambda: NOTHING.report)
    briefs: int = 0

    def brief(self) -> Report:
        self.briefs += 1
        return structs.replace(self.report, windows=Windows(), host=None)

    def urgent(self) -> tuple[Any, ...]:
        return urgent_part(self.report)

    def change(self, **changes: Any) -> None:
        self.report = structs.replace(self.report, **changes)


@dataclass
class Client:
    """Asks as a program does, and notes how long each answer took."""

    waits: ReportWaits
    position: str | None = None
    seconds: float = 0.0

    async def ask(self, **query: object) -> web.Response:
        if self.position is not None:
            query = {"after": self.position, **query}
        text = "&".join(f"{name}={value}" for name, value in query.items())
        began = asyncio.get_running_loop().time()
        answer = await self.waits.answer(make_mocked_request("GET", f"/status?{text}"))
        self.seconds = asyncio.get_running_loop().time() - began
        assert isinstance(answer, web.Response)
        if answer.status == 200:
            assert isinstance(answer.body, bytes)
            self.position = json.loads(answer.body)["position"]
        return answer


@contextlib.asynccontextmanager
async def running(report: Report = NOTHING.report) -> AsyncIterator[tuple[Relay, ReportWaits, Client]]:
    relay = Relay(report)
    waits = ReportWaits(lambda: relay.report, relay.brief, relay.urgent, asyncio.get_running_loop().time)

    async def compare() -> None:
        while True:
            await asyncio.sleep(COMPARE_SECONDS)
            waits.compare()

    comparing = asyncio.create_task(compare())
    yield relay, waits, Client(waits)
    comparing.cancel()


async def after(seconds: float, relay: Relay, **changes: Any) -> None:
    await asyncio.sleep(seconds)
    relay.change(**changes)


async def test_a_request_without_a_position_is_answered_at_once() -> None:
    async with running() as (_, _, client):
        answer = await client.ask()
        assert (answer.status, client.seconds) == (200, 0.0)
        assert client.position is not None


async def test_a_report_that_does_not_change_is_not_sent_again() -> None:
    async with running() as (_, _, client):
        await client.ask()
        answer = await client.ask()
        assert (answer.status, answer.body) == (204, None)
        assert client.seconds == DEFAULT_WAIT_SECONDS
        answer = await client.ask(waitSeconds=3)
        assert (answer.status, client.seconds) == (204, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"applied_generation": 7},
        {"pool": PoolReference("other", "voice", "u-2")},
        {"config_error": "not JSON"},
        {"draining": True},
        {"ready": False, "not_ready": ("1 of 2 media processes are up",)},
        {"echo": EchoReport("127.0.0.1", 4000, "127.0.0.1:4000", reachable=False)},
        {"sla": VIOLATED.report.sla},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_what_a_condition_needs_is_told_at_once(changes: dict[str, Any]) -> None:
    async with running() as (relay, _, client):
        await client.ask()
        for _ in range(2):
            # Within two seconds after the answer before.
            answer, _ = await asyncio.gather(client.ask(), after(0.5, relay, **changes))
            assert answer.status == 200
            assert client.seconds <= 0.5 + COMPARE_SECONDS + 0.01
            changes = {"not_ready": ("draining: no new calls are taken",)}


async def test_numbers_of_calls_are_told_every_two_seconds() -> None:
    async with running() as (relay, _, client):
        await client.ask()
        began = asyncio.get_running_loop().time()
        for number in range(1, 6):
            relay.change(calls=CallsReport(number, number, 0, 0, 0, {}))
            answer = await client.ask()
            assert isinstance(answer.body, bytes)
            assert json.loads(answer.body)["calls"]["active"] == number
        seconds = asyncio.get_running_loop().time() - began
        assert 5 * COUNTS_SECONDS <= seconds <= 5 * (COUNTS_SECONDS + COUNT_SECONDS + COMPARE_SECONDS) + 0.1


async def test_a_request_that_waited_gets_the_report_without_the_figures() -> None:
    async with running(MET.report) as (relay, _, client):
        whole = await client.ask()
        answer, _ = await asyncio.gather(client.ask(), after(0.5, relay, applied_generation=9))
        assert isinstance(whole.body, bytes)
        assert isinstance(answer.body, bytes)
        before, then = json.loads(whole.body), json.loads(answer.body)
        assert (before["whole"], then["whole"]) == (True, False)
        assert (bool(before["windows"]), then["windows"], then.get("host")) == (True, {}, None)
        assert then["appliedGeneration"] == 9


async def test_figures_alone_are_told_with_the_next_whole_report() -> None:
    async with running() as (relay, _, client):
        await client.ask()
        answer, _ = await asyncio.gather(client.ask(), after(0.5, relay, windows=VIOLATED.report.windows))
        assert answer.status == 204


async def test_a_position_of_another_start_or_of_the_past_is_answered_at_once() -> None:
    async with running() as (relay, waits, client):
        await client.ask()
        for stranger in ("0", "", "x" * 1000, f"{client.position}0"):
            other = Client(waits, stranger)
            assert (await other.ask()).status == 200
            assert other.seconds == 0.0
        relay.change(applied_generation=9)
        assert (await client.ask()).status == 200
        assert client.seconds == 0.0


async def test_a_ninth_request_does_not_wait() -> None:
    async with running() as (_, waits, client):
        await client.ask()
        held = [asyncio.create_task(Client(waits, client.position).ask()) for _ in range(MAX_HELD)]
        await asyncio.sleep(1)
        assert waits.held == MAX_HELD
        assert (await client.ask()).status == 200
        assert client.seconds == 0.0
        assert [answer.status for answer in await asyncio.gather(*held)] == [204] * MAX_HELD
        assert waits.held == 0


async def test_a_relay_that_stops_lets_all_requests_go() -> None:
    async with running() as (_, waits, client):
        await client.ask()
        held = asyncio.create_task(Client(waits, client.position).ask())
        await asyncio.sleep(1)
        waits.close()
        assert (await held).status == 200
        assert (await client.ask()).status == 200
        assert client.seconds == 0.0


async def test_nothing_is_compared_while_no_request_waits() -> None:
    async with running() as (relay, _, client):
        await client.ask()
        relay.briefs = 0
        await asyncio.sleep(600)
        assert relay.briefs == 0


@pytest.mark.parametrize("seconds", ["0", "-1", str(MAX_WAIT_SECONDS + 1), "1.5", "many", "٣", "9" * 5000])
async def test_a_wait_that_is_not_accepted_is_told(seconds: str) -> None:
    async with running() as (_, _, client):
        answer = await client.ask(waitSeconds=seconds)
        assert answer.status == 400
        assert isinstance(answer.body, bytes)
        assert b"accepted are 1 to 20" in answer.body
