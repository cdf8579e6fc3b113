"""Simulated relays in a process of their own: commands, answers and errors."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from lab.base.errors import LabError
from lab.base.waiting import wait_until
from lab.faults.operator.api.api_client import Endpoint
from lab.faults.operator.api.api_server import administrator
from lab.faults.operator.api.resources import CONFIG_MAPS, NAMESPACE, PODS
from lab.faults.operator.relays.remote_relays import RemoteRelays, remote_relays
from lab.faults.operator.relays.simulator import NICE
from rtppool_core.contract.pools_file import (
    CONFIG_MAP_NAME,
    FILE_NAME,
    REFRESH_ANNOTATION,
    NodeAssignment,
    PoolEntry,
    PoolsDocument,
    encode,
)
from rtppool_core.contract.port_range import PortRange

WITHIN_SECONDS = 20.0
NODE = "node-1"
ENTRY = PoolEntry("p", NAMESPACE, "uid", 3, (NodeAssignment(NODE),), PortRange(10_000, 10_010))


class ListedApi:
    """An API server that accepts writes, serves lists and ends every watch, so that clients list anew."""

    def __init__(self) -> None:
        self.revision: str | None = None
        self.server: web.AppRunner | None = None
        self._pod = ""

    async def start(self) -> str:
        """Listen on a free port, and return the URL."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = web.AppRunner(app)
        await self.server.setup()
        site = web.TCPSite(self.server, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self.server.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.Response:
        if request.method == "POST" and request.path == PODS:
            self._pod = (await request.json())["metadata"]["name"]
        if request.method != "GET":
            return web.json_response({"metadata": {"uid": "pod-uid"}})
        if "watch" in request.query:
            return web.Response(text="")
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": self._items(request.path)})

    def _items(self, path: str) -> list[dict[str, object]] | None:
        if path == PODS and self._pod:
            return [{"metadata": {"name": self._pod, "annotations": {REFRESH_ANNOTATION: self.revision}}}]
        if path == CONFIG_MAPS:
            return [{"metadata": {"name": CONFIG_MAP_NAME}, "data": {FILE_NAME: encode(PoolsDocument((ENTRY,)))}}]
        return None


@pytest.fixture
async def api() -> AsyncIterator[ListedApi]:
    """Yield an API server, which is not started."""
    made = ListedApi()
    yield made
    if made.server is not None:
        await made.server.cleanup()


@pytest.fixture
async def relays(api: ListedApi, tmp_path: Path) -> AsyncIterator[RemoteRelays]:
    """Yield a process with one relay."""
    server = Endpoint(await api.start())
    async with remote_relays(tmp_path, server, None, administrator(), seed=1, answer_seconds=0.0) as made:
        await made.add({NODE: {"zone": "a"}})
        yield made


async def test_a_relay_runs_the_mounted_file_and_its_requests_are_counted(relays: RemoteRelays) -> None:
    async def runs_it() -> bool:
        return [relay.entry and relay.entry.uid for relay in (await relays.states()).relays] == ["uid"]

    await wait_until("the relay has read its file", runs_it, WITHIN_SECONDS)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.1.1:{relays.port}/status") as response,
    ):
        assert (await response.json())["appliedGeneration"] == 3
    counts = await relays.counts()
    assert (counts.requests, counts.reports, counts.held) == ((1,), (1,), 0)
    assert counts.config_bytes == len(encode(PoolsDocument((ENTRY,))))
    await relays.forget_polls()
    assert (await relays.counts()).requests == (0,)


async def test_times_of_an_edit_are_known_when_it_is_published_annotated_and_read(
    relays: RemoteRelays, api: ListedApi
) -> None:
    assert (await relays.edit_times("uid", 4, 0.0)).config is None
    api.revision = "2"

    async def is_read() -> bool:
        times = await relays.edit_times("uid", 3, 0.0)
        return None not in {times.config, times.annotated, times.read}

    await wait_until("all times are known", is_read, WITHIN_SECONDS)


async def test_calls_move_and_end(relays: RemoteRelays) -> None:
    await relays.move(1, 0.3)
    assert [relay.active_calls for relay in (await relays.states()).relays] == [0]


async def test_the_simulation_gives_way_to_other_processes(relays: RemoteRelays) -> None:
    assert os.getpriority(os.PRIO_PROCESS, relays.pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICE


async def test_a_process_that_ended_is_an_error_with_its_command(relays: RemoteRelays) -> None:
    await relays.end()
    with pytest.raises(LabError, match="ended at counts"):
        await relays.counts()


async def test_a_refused_command_is_an_error_with_its_reason(api: ListedApi, tmp_path: Path) -> None:
    server = Endpoint(await api.start())
    async with remote_relays(tmp_path, server, None, administrator(), seed=1, answer_seconds=0.0) as made:
        assert api.server is not None
        await api.server.cleanup()
        with pytest.raises(LabError, match="at add: POST /api/v1/nodes"):
            await made.add({NODE: {}})
