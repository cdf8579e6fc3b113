"""kopf in the event loop of its owner, on a real socket: after any end it restarts, and takes nothing with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from api_stand_in import DISCOVERY, POOLS, ApiStandIn, refusal

from rtppool_operator import handlers
from rtppool_operator.kube import kopf_watch
from rtppool_operator.kube.kopf_watch import BACKOFF_SECONDS, EndlessBackoffs, KopfWatch
from rtppool_testing.waiting import until

Seen = tuple[str, str, str]


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiStandIn]:
    stand_in = ApiStandIn(documents=dict(DISCOVERY))
    await stand_in.begin()
    # The client reads KUBECONFIG when it is imported.
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(stand_in.kubeconfig(tmp_path))
    )
    monkeypatch.setattr(kopf_watch, "BACKOFF_SECONDS", (0.01, 0.05))
    yield stand_in
    await stand_in.end()


@pytest.fixture
async def seen() -> list[Seen]:
    return []


@pytest.fixture
def signals_kept() -> list[int]:
    return []


@pytest.fixture
async def watch(api: ApiStandIn, seen: list[Seen], signals_kept: list[int]) -> AsyncIterator[KopfWatch]:
    assert api.port
    assert handlers

    def take_pool(kind: str, document: Mapping[str, Any]) -> None:
        seen.append((kind, document["metadata"]["uid"], document["metadata"]["resourceVersion"]))

    made = KopfWatch(take_pool, "ns/me", lambda: signals_kept.append(1))
    before = asyncio.all_tasks()
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asyncio.all_tasks() - {asyncio.current_task()} <= before, "kopf's tasks end with it"


async def test_what_stands_and_what_comes_and_goes_is_seen(
    api: ApiStandIn, watch: KopfWatch, seen: list[Seen], signals_kept: list[int]
) -> None:
    first = await api.put_pool("first")
    await until(lambda: ("ADDED", "uid-first", "2") in seen and bool(api.watches))
    await api.put_pool("first", generation=2)
    await until(lambda: ("MODIFIED", "uid-first", "3") in seen)
    await api.emit("DELETED", first)
    await until(lambda: seen[-1][:2] == ("DELETED", "uid-first"))
    assert {method for method, _, _ in api.requests} == {"GET"}, "kopf writes nothing"
    assert (signals_kept, watch.restarts) == ([1], 0)


@pytest.mark.parametrize("ends_on", ["error event", "404"])
async def test_a_watch_that_ends_restarts_and_ends_no_other_task(
    api: ApiStandIn, watch: KopfWatch, seen: list[Seen], signals_kept: list[int], ends_on: str
) -> None:
    await until(lambda: bool(api.watches))
    later = asyncio.create_task(asyncio.sleep(60))
    if ends_on == "error event":
        await api.emit("ERROR", {"kind": "Status", "code": 500, "message": "etcd has no leader"})
    else:

        def gone(request: web.Request) -> web.StreamResponse | None:
            return refusal(404, "the definition was deleted") if request.path == POOLS else None

        api.instead = gone
        for open_watch in list(api.watches):
            await open_watch.write(b'{"type": "ERROR", "object": {"kind": "Status", "code": 410}}\n')
    await until(lambda: watch.restarts >= 1)
    api.instead = lambda _request: None
    await api.put_pool("later")
    await until(lambda: any(uid == "uid-later" for _, uid, _ in seen))
    assert len(signals_kept) == watch.restarts + 1
    assert not later.done()
    later.cancel()


async def test_a_server_that_refuses_for_a_while_is_asked_again_without_an_end(
    api: ApiStandIn, watch: KopfWatch, seen: list[Seen]
) -> None:
    refused: list[str] = []

    def refuse(request: web.Request) -> web.StreamResponse | None:
        refused.append(request.path)
        return refusal(403, "forbidden for a moment") if len(refused) < 4 else None

    api.instead = refuse
    await api.put_pool("pool")
    await until(lambda: any(uid == "uid-pool" for _, uid, _ in seen))
    assert watch.restarts == 0


def test_requests_are_tried_for_ever() -> None:
    pauses = iter(EndlessBackoffs())
    assert [next(pauses) for _ in range(100)][-1] == BACKOFF_SECONDS[-1]
