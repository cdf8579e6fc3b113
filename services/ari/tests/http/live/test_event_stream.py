from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from rtppool_core.net import http_listener
from rtppool_core.net.http_endpoints import Health, listen, make_app
from rtppool_relay.http.live.event_stream import (
    MAX_WAITING_EVENTS,
    MAX_WATCHERS,
    EventStream,
    encode_event,
    max_watchers,
)
from rtppool_testing.waiting import until

TOKEN = {"Authorization": "Bearer open-sesame"}
FIRST = encode_event("history", b"{}")
LARGE_EVENT = encode_event("second", b"a" * 200_000)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[EventStream, str]]:
    stream = EventStream(lambda: FIRST)
    app = make_app(CollectorRegistry(), Health, Health, {"/events": stream.answer}, lambda: "open-sesame")
    runner, port = await listen(app, "127.0.0.1", 0, shutdown_seconds=0.05)
    try:
        yield stream, f"http://127.0.0.1:{port}/events"
    finally:
        stream.close()
        await runner.cleanup()


async def test_each_watcher_gets_the_first_event_and_then_the_same_bytes() -> None:
    async with serving() as (stream, url), aiohttp.ClientSession(headers=TOKEN) as http:
        answers = [await http.get(url) for _ in range(3)]
        await until(lambda: stream.watchers == 3)
        stream.publish(encode_event("second", b"[1]"))
        expected = b"retry: 2000\n\n" + FIRST + b"event: second\ndata: [1]\n\n"
        for answer in answers:
            assert answer.content_type == "text/event-stream"
            assert answer.headers["Cache-Control"] == "no-store"
            assert await answer.content.readexactly(len(expected)) == expected
            answer.close()


async def test_the_stream_needs_the_token_as_every_figure_does() -> None:
    async with serving() as (stream, url), aiohttp.ClientSession() as http, http.get(url) as answer:
        assert (answer.status, stream.watchers) == (401, 0)


async def test_the_watchers_have_a_bound() -> None:
    async with serving() as (stream, url), aiohttp.ClientSession(headers=TOKEN) as http:
        bound = max_watchers(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        answers = [await http.get(url) for _ in range(bound)]
        await until(lambda: stream.watchers == bound)
        async with http.get(url) as refused:
            assert refused.status == 503
            assert f"accepted are {bound} at a time" in (await refused.json())["error"]
        for answer in answers:
            answer.close()


@pytest.mark.parametrize(("limit", "watchers"), [(64, 4), (1024, MAX_WATCHERS), (resource.RLIM_INFINITY, MAX_WATCHERS)])
def test_half_of_the_connections_stay_for_other_requests(limit: int, watchers: int) -> None:
    assert max_watchers(limit) == watchers


async def test_a_watcher_that_does_not_read_is_closed_and_the_others_go_on() -> None:
    async with serving() as (stream, url), aiohttp.ClientSession(headers=TOKEN) as http:
        port = int(url.rpartition(":")[2].partition("/")[0])
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer open-sesame\r\n\r\n")
        async with http.get(url) as reader:
            await until(lambda: stream.watchers == 2)

            async def publish() -> bool:
                stream.publish(LARGE_EVENT)
                await reader.content.readuntil(b"\n\n")
                return stream.dropped > 0

            await until(publish)
            assert (stream.watchers, stream.dropped) == (1, 1)
        slow.close()


async def test_a_watcher_that_has_gone_is_forgotten() -> None:
    async with serving() as (stream, url), aiohttp.ClientSession(headers=TOKEN) as http:
        (await http.get(url)).close()
        await until(lambda: stream.watchers == 1)

        def publish() -> bool:
            stream.publish(b"event: second\ndata: 1\n\n")
            return stream.watchers == 0

        await until(publish)
        assert stream.dropped <= 1


async def test_a_stream_lasts_longer_than_any_other_answer_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "MAX_REQUEST_SECONDS", 0.5)
    async with serving() as (stream, url), aiohttp.ClientSession(headers=TOKEN) as http, http.get(url) as answer:
        await until(lambda: stream.watchers == 1)
        loop = asyncio.get_running_loop()
        end = loop.time() + 3 * http_listener.SWEEP_SECONDS
        while loop.time() < end:
            stream.publish(b"event: second\ndata: 1\n\n")
            await answer.content.readuntil(b"\n\n")
            await asyncio.sleep(0.05)
        assert stream.watchers == 1


async def test_a_relay_that_stops_ends_its_streams_and_takes_no_more() -> None:
    async with serving() as (stream, url), aiohttp.ClientSession(headers=TOKEN) as http, http.get(url) as answer:
        await until(lambda: stream.watchers == 1)
        stream.close()
        with contextlib.suppress(aiohttp.ClientError):
            await answer.content.read()
        async with http.get(url) as refused:
            assert refused.status == 503


def test_a_watcher_holds_few_events() -> None:
    assert MAX_WAITING_EVENTS * 1.0 < http_listener.MAX_REQUEST_SECONDS
