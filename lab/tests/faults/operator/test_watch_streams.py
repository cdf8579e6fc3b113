"""A watch behind the proxy, with each fault of watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.faults.operator.api import watch_stream
from lab.faults.operator.api.watch_stream import WatchFaults, WatchStream
from rtppool_testing.waiting import until

QUERY = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "4"}


def line(kind: str, version: int) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"resourceVersion": str(version)}}}).encode() + b"\n"


class Passed(web.StreamResponse):
    """The response to the client: the lines that it gets, as kind and version."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    async def write(self, data: Any) -> None:
        event = json.loads(data)
        self.events.append(f"{event['type']} {event['object']['metadata']['resourceVersion']}")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> WatchFaults:
    monkeypatch.setattr(watch_stream, "BOOKMARK_SECONDS", 0.01)
    return WatchFaults()


@pytest.fixture
def client() -> Passed:
    return Passed()


@pytest.fixture
async def server() -> asyncio.StreamReader:
    """The response of the API server."""
    return asyncio.StreamReader()


Running = tuple[WatchStream, asyncio.Task[None]]


@pytest.fixture
async def watch(client: Passed, faults: WatchFaults, server: asyncio.StreamReader) -> AsyncIterator[Running]:
    stream = WatchStream(client, QUERY, faults)
    task = asyncio.create_task(stream.pass_on(server))
    yield stream, task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_events_and_the_end_pass_without_a_fault(
    watch: Running, client: Passed, server: asyncio.StreamReader
) -> None:
    server.feed_data(line("ADDED", 5) + line("MODIFIED", 6))
    await until(lambda: client.events == ["ADDED 5", "MODIFIED 6"])
    server.feed_eof()
    await watch[1]


async def test_bookmarks_alone_come_with_the_versions_of_the_lost_events_and_keep_coming(
    watch: Running, client: Passed, server: asyncio.StreamReader, faults: WatchFaults
) -> None:
    faults.bookmarks_only = True
    await until(lambda: client.events[:2] == ["BOOKMARK 4"] * 2)
    server.feed_data(line("MODIFIED", 6))
    await until(lambda: client.events.count("BOOKMARK 6") > 2)
    assert not any(each.startswith("MODIFIED") for each in client.events)
    watch[0].end()
    await watch[1]


async def test_a_client_that_asked_for_no_bookmarks_gets_none(
    client: Passed, server: asyncio.StreamReader, faults: WatchFaults
) -> None:
    faults.bookmarks_only = True
    stream = WatchStream(client, {"watch": "1", "resourceVersion": "4"}, faults)
    server.feed_data(line("MODIFIED", 6))
    server.feed_eof()
    await stream.pass_on(server)
    assert client.events == []


async def test_events_of_a_server_that_is_behind_come_in_order_when_it_has_caught_up(
    watch: Running, client: Passed, server: asyncio.StreamReader, faults: WatchFaults
) -> None:
    faults.behind = True
    server.feed_data(line("MODIFIED", 6) + line("MODIFIED", 7))
    await asyncio.sleep(0.05)
    assert (client.events, watch[1].done()) == ([], False)
    faults.behind = False
    await until(lambda: client.events == ["MODIFIED 6", "MODIFIED 7"])


@pytest.mark.parametrize("cause", ["an event during the fault", "for good"])
async def test_a_silent_watch_stays_so_and_shows_no_end(
    watch: Running, client: Passed, server: asyncio.StreamReader, faults: WatchFaults, cause: str
) -> None:
    if cause == "for good":
        watch[0].silence()
    faults.silent = cause != "for good"
    server.feed_data(line("MODIFIED", 6))
    await asyncio.sleep(0.05)
    faults.silent = False
    server.feed_data(line("MODIFIED", 7))
    server.set_exception(aiohttp.ClientPayloadError("the server was killed"))
    watch[0].end()
    await asyncio.sleep(0.05)
    assert (client.events, watch[1].done()) == ([], False)
    watch[0].end_if_silent()
    await watch[1]


async def test_a_watch_that_lost_nothing_during_a_silence_goes_on(
    watch: Running, client: Passed, server: asyncio.StreamReader, faults: WatchFaults
) -> None:
    assert not watch[1].done()
    faults.silent = True
    await asyncio.sleep(0.05)
    faults.silent = False
    watch[0].end_if_silent()
    server.feed_data(line("MODIFIED", 7))
    await until(lambda: client.events == ["MODIFIED 7"])
