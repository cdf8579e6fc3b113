"""kopf in its thread, on a real socket: after any end it restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from api_stand_in import DISCOVERY, POOLS, ApiStandIn, refusal
from kopf._cogs.aiokits import aiotasks

from rtppool_operator import handlers
from rtppool_operator.kube import kopf_watch
from rtppool_operator.kube.kopf_watch import BACKOFF_SECONDS, EndlessBackoffs, KopfWatch
from rtppool_testing.waiting import until

real_wait = aiotasks.wait
Seen = tuple[str, int | None, str | None]


async def wait_shortly(tasks: Any, **options: Any) -> Any:
    """At its end kopf waits five seconds for tasks that hang. A test does not."""
    limited = {"timeout": 0.05} if options.get("timeout") is not None else {}
    return await real_wait(tasks, **{**options, **limited})


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiStandIn]:
    stand_in = ApiStandIn(documents=dict(DISCOVERY))
    await stand_in.begin()
    # The client reads KUBECONFIG when it is imported.
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(stand_in.kubeconfig(tmp_path))
    )
    monkeypatch.setattr(kopf_watch, "BACKOFF_SECONDS", (0.01, 0.05))
    monkeypatch.setattr(aiotasks, "wait", wait_shortly)
    yield stand_in
    await stand_in.end()


@pytest.fixture
async def seen() -> list[Seen]:
    return []


@pytest.fixture
async def watch(api: ApiStandIn, seen: list[Seen]) -> AsyncIterator[KopfWatch]:
    assert api.port
    assert handlers
    loop = asyncio.get_running_loop()
    made = KopfWatch(lambda *event: loop.call_soon_threadsafe(seen.append, event) and None, "ns/me")
    yield made
    await asyncio.to_thread(made.stop)
    assert not made.alive


async def test_what_stands_and_what_comes_and_goes_is_seen(api: ApiStandIn, watch: KopfWatch, seen: list[Seen]) -> None:
    first = await api.put_pool("first")
    watch.start()
    await until(lambda: ("uid-first", 1, "2") in seen and bool(api.watches))
    await api.put_pool("first", generation=2)
    await until(lambda: ("uid-first", 2, "3") in seen)
    await api.emit("DELETED", first)
    await until(lambda: seen[-1][:2] == ("uid-first", None))
    assert {method for method, _, _ in api.requests} == {"GET"}, "kopf writes nothing"


@pytest.mark.parametrize("ends_on", ["error event", "404", "asked to"])
async def test_a_watch_that_ends_restarts(api: ApiStandIn, watch: KopfWatch, seen: list[Seen], ends_on: str) -> None:
    watch.start()
    await until(lambda: bool(api.watches))
    if ends_on == "error event":
        await api.emit("ERROR", {"kind": "Status", "code": 500, "message": "etcd has no leader"})
    elif ends_on == "404":

        def gone(request: web.Request) -> web.StreamResponse | None:
            return refusal(404, "the definition was deleted") if request.path == POOLS else None

        api.instead = gone
        for open_watch in list(api.watches):
            await open_watch.write(b'{"type": "ERROR", "object": {"kind": "Status", "code": 410}}\n')
    else:
        watch.restart()
    await until(lambda: watch.restarts == 1)
    assert watch.alive
    assert "ended and restarts" in (watch.problem or "")
    api.instead = lambda _request: None
    await api.put_pool("later")
    await until(lambda: any(uid == "uid-later" for uid, _, _ in seen))


async def test_a_server_that_refuses_for_a_while_is_asked_again_without_an_end(
    api: ApiStandIn, watch: KopfWatch, seen: list[Seen]
) -> None:
    refused: list[str] = []

    def refuse(request: web.Request) -> web.StreamResponse | None:
        refused.append(request.path)
        return refusal(403, "forbidden for a moment") if len(refused) < 4 else None

    api.instead = refuse
    await api.put_pool("pool")
    watch.start()
    await until(lambda: any(uid == "uid-pool" for uid, _, _ in seen))
    assert watch.restarts == 0


def test_requests_are_tried_for_ever() -> None:
    pauses = iter(EndlessBackoffs())
    assert [next(pauses) for _ in range(100)][-1] == BACKOFF_SECONDS[-1]


async def test_a_thread_that_ended_is_noticed_and_can_be_started_again(
    api: ApiStandIn, watch: KopfWatch, seen: list[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(watch, "_watch_forever", lambda: None)
        watch.start()
        await until(lambda: not watch.alive)
    watch.start()
    assert watch.restarts == 1
    await api.put_pool("later")
    await until(lambda: any(uid == "uid-later" for uid, _, _ in seen))
