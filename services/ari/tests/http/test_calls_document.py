from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from rtppool_core.contract.codec import Contract
from rtppool_core.net.http_endpoints import Health, listen, make_app
from rtppool_relay.http import calls_document
from rtppool_relay.http.calls_document import CHUNK_BYTES, CallsDocument

CALLS = 4096
MAX_HELD_SECONDS = 0.02


class Call(Contract, frozen=True):
    call: str
    port: int | None = None
    padding: str = "a" * 1000


class CpuClock:
    """The CPU time of a thread that only the figures of calls use."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Calls:
    """Calls whose figures cost CPU time, as those of a relay do."""

    def __init__(self, number: int = 3, seconds_each: float = 0.0, clock: CpuClock | None = None) -> None:
        self.number = number
        self.seconds_each = seconds_each
        self.clock = clock or CpuClock()
        self.listed = 0

    def __call__(self) -> Iterator[Call]:
        self.listed += 1
        for number in range(self.number):
            self.clock.seconds += self.seconds_each
            yield Call(f"call-{number}", 10_000 + number if number else None)


@asynccontextmanager
async def serving(live: Calls) -> AsyncIterator[str]:
    handler = CallsDocument(live, list, live.clock).answer
    runner, port = await listen(make_app(CollectorRegistry(), Health, Health, {"/calls": handler}), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}/calls"
    await runner.cleanup()


async def test_the_document_lists_live_and_recent_calls_without_unknown_values() -> None:
    document = json.loads(await CallsDocument(Calls(2), lambda: [Call("ended")]).render())
    assert [call["call"] for call in document["live"]] == ["call-0", "call-1"]
    assert [call["call"] for call in document["recent"]] == ["ended"]
    assert "port" not in document["live"][0]


async def test_a_document_without_calls_has_two_empty_lists() -> None:
    assert json.loads(await CallsDocument(list, list).render()) == {"live": [], "recent": []}


async def test_4096_calls_hold_the_control_loop_for_less_than_20_ms_between_two_turns() -> None:
    clock = CpuClock()
    document = CallsDocument(Calls(CALLS, 0.001, clock), Calls(200), clock)
    rendering = asyncio.create_task(document.render())
    turns = [clock.seconds]
    while not rendering.done():
        await asyncio.sleep(0)
        turns.append(clock.seconds)
    assert max(after - before for before, after in pairwise(turns)) < MAX_HELD_SECONDS
    assert turns[-1] == pytest.approx(CALLS * 0.001)
    assert len(json.loads(await rendering)["live"]) == CALLS


async def test_an_answer_of_megabytes_is_sent_in_chunks_with_a_turn_of_the_control_loop_after_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chunks: list[tuple[int, int]] = []
    turn, write = 0, web.StreamResponse.write

    async def watched(response: web.StreamResponse, data: memoryview) -> None:
        chunks.append((turn, len(data)))
        await write(response, data)

    monkeypatch.setattr(web.StreamResponse, "write", watched)
    async with serving(Calls(CALLS)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
        writer.write(b"GET /calls HTTP/1.0\r\n\r\n")
        body = asyncio.create_task(reader.read())
        while not body.done():
            turn += 1
            await asyncio.sleep(0)
        writer.close()
    assert len(await body) > CALLS * 1000
    assert max(length for _turn, length in chunks) <= CHUNK_BYTES
    assert len({at for at, _length in chunks}) == len(chunks)


async def test_requests_that_arrive_meanwhile_share_one_document() -> None:
    calls = Calls(50, 0.001)
    async with serving(calls) as url, aiohttp.ClientSession() as http:

        async def ask() -> int:
            async with http.get(url) as answer:
                return len((await answer.json())["live"])

        assert await asyncio.gather(*(ask() for _ in range(20))) == [50] * 20
    assert calls.listed == 1


async def test_the_figures_are_read_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    document = CallsDocument(calls, list)
    await document.render()
    await document.render()
    assert calls.listed == 1
    monkeypatch.setattr(calls_document, "MIN_INTERVAL_SECONDS", 0.0)
    await document.render()
    assert calls.listed == 2


async def test_a_request_that_is_cancelled_leaves_the_document_to_the_others() -> None:
    calls = Calls(20, 0.001)
    document = CallsDocument(calls, list, calls.clock)
    first, second = asyncio.create_task(document.render()), asyncio.create_task(document.render())
    await asyncio.sleep(0)
    first.cancel()
    assert len(json.loads(await second)["live"]) == 20


async def test_a_head_request_gets_the_length_alone() -> None:
    async with serving(Calls()) as url, aiohttp.ClientSession() as http, http.head(url) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 3000


async def test_answer_is_json_that_is_not_stored() -> None:
    async with serving(Calls()) as url, aiohttp.ClientSession() as http, http.get(url) as answer:
        assert (answer.content_type, answer.charset) == ("application/json", "utf-8")
        assert answer.headers["Cache-Control"] == "no-store"
