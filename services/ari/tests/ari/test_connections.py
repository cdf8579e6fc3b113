"""The kept connections to Asterisk, with a server over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from rtppool_core.net.http_endpoints import listen
from rtppool_relay.ari import connections
from rtppool_relay.ari.connections import MAX_CONNECTIONS
from rtppool_relay.ari.rest import AriClient
from rtppool_testing.allocations import allocated
from rtppool_testing.waiting import until

MAX_ALLOCATED_BYTES = 128 << 10
CHECKS = ("/ari/channels", "/ari/bridges", "/ari/applications")


class Server:
    """Answers every request, and knows the connections in use. With `together` it answers only so many at once."""

    def __init__(self) -> None:
        self.together = 1
        self.waiting = 0
        self.most_waiting = 0
        self.calls: set[asyncio.BaseTransport | None] = set()
        self.checks: set[asyncio.BaseTransport | None] = set()
        self._all_there = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        (self.checks if request.path in CHECKS else self.calls).add(request.transport)
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        if self.waiting == self.together:
            self._all_there.set()
        await self._all_there.wait()
        self.waiting -= 1
        return web.json_response([])

    def hold_until(self, together: int) -> None:
        """Answer nothing before so many requests wait."""
        self.together = together
        self._all_there.clear()

    def open_calls(self) -> int:
        return sum(each is not None and not each.is_closing() for each in self.calls)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, AriClient]]:
    server, app = Server(), web.Application()
    app.router.add_route("*", "/ari/{tail:.*}", server.answer)
    runner, port = await listen(app, "127.0.0.1", 0, shutdown_seconds=0.1)
    client = AriClient(f"http://127.0.0.1:{port}/ari", "relay", "secret")
    try:
        async with asyncio.timeout(30):
            yield server, client
    finally:
        await client.close()
        await runner.cleanup()


async def check(client: AriClient) -> None:
    await asyncio.gather(client.channels(), client.bridges(), client.applications(), client.channels())


async def test_checks_and_calls_share_no_connection_and_each_has_its_bound() -> None:
    async with serving() as (server, client):
        together = sum(MAX_CONNECTIONS.values())
        server.hold_until(together)
        await asyncio.gather(
            *(client.answer(f"call-{number}") for number in range(50)), *(check(client) for _ in "1234")
        )
        assert server.most_waiting == together == 16
        assert len(server.calls) == MAX_CONNECTIONS["calls"]
        assert len(server.checks) == MAX_CONNECTIONS["checks"]
        assert not server.calls & server.checks


async def test_checks_that_get_no_answer_delay_no_call() -> None:
    async with serving() as (server, client):
        server.hold_until(MAX_CONNECTIONS["checks"] + 1)
        checking = asyncio.gather(*(check(client) for _ in "1234"))
        await until(lambda: server.waiting == MAX_CONNECTIONS["checks"], "every connection for checks is in use")
        await client.answer("call")
        await checking


async def test_connections_of_past_calls_are_closed_although_checks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEP_ALIVE_SECONDS", {"calls": 0.1, "checks": 10.0})
    async with serving() as (server, client):
        server.hold_until(MAX_CONNECTIONS["calls"])
        await asyncio.gather(*(client.answer(f"call-{number}") for number in range(MAX_CONNECTIONS["calls"])))
        assert server.open_calls() == MAX_CONNECTIONS["calls"]
        while server.open_calls():
            await check(client)
        assert len(server.checks) == MAX_CONNECTIONS["checks"]


async def test_a_request_and_its_answer_allocate_no_large_block() -> None:
    async with serving() as (_, client):
        await client.answer("the first one connects")
        with allocated() as measured:
            await client.answer("call")
        assert measured.peak_bytes < MAX_ALLOCATED_BYTES
