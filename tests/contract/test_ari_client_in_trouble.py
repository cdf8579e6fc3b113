"""The ARI client with faulty servers, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from rtppool_core.net.http_endpoints import listen
from rtppool_relay.ari.bodies import Listing
from rtppool_relay.ari.errors import AriRefused, AriUnreachable
from rtppool_relay.ari.messages import AriEvent, ChannelGone
from rtppool_relay.ari.rest import AriClient

APPLICATION = "rtp-pool"
CHANNEL = {"id": "rtp_0_c_media", "name": "UnicastRTP/127.0.0.1:10000-0x1", "state": "Up"}
BRIDGE = {"id": "rtp_0_c_bridge", "channels": []}
# Far more than aiohttp (128 KiB) and the kernel (some MiB) buffer for a connection without a reader.
FLOOD = 5000
EVENT_BYTES = 6000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[str]:
    """Run a server on loopback and yield the value for ARI_URL."""
    app = web.Application()
    app.add_routes(routes)
    runner, port = await listen(app, "127.0.0.1", 0, shutdown_seconds=0.1, bounded=False)
    try:
        yield f"http://127.0.0.1:{port}/ari"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(url: str, **options: float) -> AsyncIterator[AriClient]:
    client = AriClient(url, "relay", "secret", **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()


def destroyed(number: int) -> str:
    event = {"type": "ChannelDestroyed", "channel": {"id": f"channel-{number}"}}
    return json.dumps(event | {"cause_txt": "x" * EVENT_BYTES})


class Flood:
    """A websocket that sends many events at once. `done` is set after the last one, or after the close."""

    def __init__(self) -> None:
        self.sent = 0
        self.done = asyncio.Event()
        self.closed = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            for number in range(FLOOD):
                await socket.send_str(destroyed(number))
                self.sent += 1
        except ConnectionResetError:
            pass
        self.done.set()
        async for _ in socket:
            pass
        self.closed.set()
        return socket


async def taken(events: AsyncIterator[AriEvent], count: int) -> list[AriEvent]:
    return [await anext(events) for _ in range(count)]


async def test_a_flood_of_events_never_blocks_asterisk_s_socket_while_they_wait() -> None:
    flood = Flood()
    async with (
        serving(web.get("/ari/events", flood.serve)) as url,
        client_of(url) as client,
        client.events(APPLICATION) as events,
    ):
        async with asyncio.timeout(30):
            await flood.done.wait()
        assert flood.sent == FLOOD
        assert await taken(events, FLOOD) == [ChannelGone(f"channel-{number}") for number in range(FLOOD)]


async def test_more_events_than_may_wait_close_the_connection_and_say_so() -> None:
    flood = Flood()
    async with (
        serving(web.get("/ari/events", flood.serve)) as url,
        client_of(url, max_events_waiting=100) as client,
        client.events(APPLICATION) as events,
    ):
        async with asyncio.timeout(30):
            await flood.done.wait()
            await flood.closed.wait()
        with pytest.raises(AriUnreachable, match=r"more than 100 events waited .* overloaded"):
            await anext(events)


async def test_the_events_end_when_asterisk_closes_the_connection() -> None:
    async def events_of_one(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("no JSON")
        await socket.send_str(destroyed(1))
        await socket.close()
        return socket

    async with (
        serving(web.get("/ari/events", events_of_one)) as url,
        client_of(url) as client,
        client.events(APPLICATION) as events,
    ):
        async with asyncio.timeout(30):
            assert [event async for event in events] == [ChannelGone("channel-1")]


async def test_a_websocket_that_answers_no_ping_is_given_up() -> None:
    async def deaf(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    async with (
        serving(web.get("/ari/events", deaf)) as url,
        client_of(url, heartbeat_seconds=0.2) as client,
        client.events(APPLICATION) as events,
    ):
        async with asyncio.timeout(30):
            assert [event async for event in events] == []


async def test_with_new_events_no_request_waits_for_a_connection_from_before() -> None:
    first_of_a_connection: set[object] = set()
    silent: list[object] = []

    async def channels(request: web.Request) -> web.StreamResponse:
        """Answer once on each connection. Later requests get no answer, as behind a firewall that lost the state."""
        if request.transport in first_of_a_connection:
            silent.append(request.transport)
            await asyncio.sleep(3600)
        first_of_a_connection.add(request.transport)
        return web.json_response([])

    async def listening(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    async with (
        serving(web.get("/ari/channels", channels), web.get("/ari/events", listening)) as url,
        client_of(url, request_seconds=600) as client,
        asyncio.timeout(30),
    ):
        assert await client.channels() == Listing(())
        waiting = asyncio.create_task(client.channels())
        while not silent:
            await asyncio.sleep(0.01)
        async with client.events(APPLICATION):
            assert await waiting == Listing(())


def never_answered(made: list[str]) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        made.append("made")
        await asyncio.sleep(3600)
        raise AssertionError

    return handler


def hung_up(made: list[str]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        made.append("made")
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return handler


def garbled(made: list[str]) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        made.append("made")
        return web.Response(text="<html>", content_type="application/json")

    return handler


def failed(made: list[str]) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        made.append("made")
        return web.Response(status=500)

    return handler


def there(document: object) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return handler


HOWEVER_IT_FAILS = pytest.mark.parametrize("failing", [never_answered, hung_up, garbled, failed])


@HOWEVER_IT_FAILS
async def test_media_that_was_made_is_found_however_the_request_failed(failing: Callable[[list[str]], Handler]) -> None:
    made: list[str] = []
    routes = (
        web.post("/ari/channels/externalMedia", failing(made)),
        web.get(f"/ari/channels/{CHANNEL['id']}", there(CHANNEL)),
    )
    async with serving(*routes) as url, client_of(url, request_seconds=0.3) as client:
        channel = await client.create_media(CHANNEL["id"], APPLICATION, "127.0.0.1:10000", "ulaw")
        assert channel.id == CHANNEL["id"]
        assert made


@HOWEVER_IT_FAILS
async def test_a_bridge_that_was_made_is_found_however_the_request_failed(
    failing: Callable[[list[str]], Handler],
) -> None:
    made: list[str] = []
    routes = (
        web.post("/ari/bridges", failing(made)),
        web.get(f"/ari/bridges/{BRIDGE['id']}", there(BRIDGE)),
    )
    async with serving(*routes) as url, client_of(url, request_seconds=0.3) as client:
        await client.create_bridge(str(BRIDGE["id"]))
        assert made


async def test_a_bridge_that_was_not_made_fails_with_the_first_failure() -> None:
    made: list[str] = []
    async with (
        serving(web.post("/ari/bridges", failed(made))) as url,
        client_of(url) as client,
    ):
        with pytest.raises(AriRefused, match="POST /bridges: Asterisk answered 500"):
            await client.create_bridge("rtp_0_c_bridge")


async def test_a_redirect_is_not_followed_and_the_password_goes_nowhere_else() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response([])

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"/elsewhere{request.path}"})

    routes = (
        web.get("/ari/channels", redirect),
        web.get("/ari/events", redirect),
        web.get("/elsewhere/{tail:.*}", elsewhere),
    )
    async with serving(*routes) as url, client_of(url) as client:
        with pytest.raises(AriUnreachable, match=r"redirect \(307\), which is not followed"):
            await client.channels()
        with pytest.raises(AriUnreachable, match=r"redirect \(307\), which is not followed"):
            async with client.events(APPLICATION):
                pass
    assert asked == []
