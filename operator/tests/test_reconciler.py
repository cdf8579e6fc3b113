"""One round after the other, on a cluster in memory and a relay over HTTP."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from rtppool_core.contract import to_json
from rtppool_core.pool_config import decode_for_node
from rtppool_core.report import Report
from rtppool_operator.cluster import ClusterError
from rtppool_operator.cluster_view import ClusterView, Node, RelayPod
from rtppool_operator.lease import Leadership
from rtppool_operator.polling import Poller
from rtppool_operator.pool_events import PoolEvent
from rtppool_operator.pool_spec import Pool
from rtppool_operator.reconciler import Reconciler

MakePool = Callable[..., Pool]


class MemoryCluster:
    """What the API server would keep."""

    def __init__(self) -> None:
        self.view = ClusterView((), (), {"a": Node("a")}, None)
        self.away = False
        self.writes: list[str] = []
        self.refreshed: list[tuple[str, str]] = []
        self.statuses: list[Mapping[str, Any]] = []
        self.events: list[PoolEvent] = []
        self.leases: dict[str, Any] = {}

    def look(self) -> ClusterView:
        if self.away:
            raise ClusterError("list rtppools: the API server can't be reached")
        return self.view

    def write(self, text: str, *, exists: bool) -> None:
        assert exists == (self.view.written is not None)
        self.writes.append(text)
        self.view = replace(self.view, written=text)

    def refresh(self, relay: RelayPod, revision: str) -> None:
        self.refreshed.append((relay.name, revision))
        relays = tuple(replace(pod, revision=revision) if pod == relay else pod for pod in self.view.relays)
        self.view = replace(self.view, relays=relays)

    def write_status(self, pool: Pool, status: Mapping[str, Any]) -> None:
        assert pool.uid
        self.statuses.append(copy.deepcopy(dict(status)))

    def tell(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
        assert (pool.uid, reporter) == ("uid-default", "ns/me")
        self.events.append(event)

    def lease(self, namespace: str, name: str) -> Any | None:
        return self.leases.get(f"{namespace}/{name}")

    def write_lease(self, namespace: str, name: str, lease: Any, *, exists: bool) -> bool:
        assert exists == (self.lease(namespace, name) is not None)
        assert lease["spec"]["holderIdentity"] == "ns/me"
        return True


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
async def relay(cluster: MemoryCluster) -> AsyncIterator[dict[str, Any]]:
    """A relay on node a; its report is what the dict holds."""
    held: dict[str, Any] = {}

    async def status(_request: web.Request) -> web.StreamResponse:
        return web.json_response(held) if held else web.Response(status=503)

    app = web.Application()
    app.router.add_get("/status", status)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pod = RelayPod("relay-a", "uid-relay-a", "a", "127.0.0.1", runner.addresses[0][1])
    cluster.view = replace(cluster.view, relays=(pod,))
    yield held
    await runner.cleanup()


@pytest.fixture
async def reconciler(cluster: MemoryCluster) -> AsyncIterator[Reconciler]:
    poller = Poller(None)
    made = Reconciler(cluster, poller, Leadership(cluster, "ns/me"), "ns/me")
    yield made
    await poller.close()


async def test_a_pool_reaches_the_configuration_and_the_pods(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await reconciler.cycle()
    (text,) = cluster.writes
    entry = decode_for_node(text, "a")
    assert entry is not None
    assert entry.uid == "uid-default"
    assert [name for name, _ in cluster.refreshed] == ["relay-a"]


async def test_what_stands_is_not_written_again(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool, make_report: Any
) -> None:
    relay |= to_json(make_report(make_pool()))
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    for _ in range(5):
        await reconciler.cycle()
    assert (len(cluster.writes), len(cluster.refreshed), len(cluster.statuses)) == (1, 1, 1)


async def test_programmed_comes_from_the_relay_s_report_and_not_from_the_write(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool, make_report: Any
) -> None:
    pool = make_pool()
    relay |= to_json(make_report(replace(pool, generation=2)))
    cluster.view = replace(cluster.view, pools=(pool,))
    await reconciler.cycle()
    first = {each["type"]: each["status"] for each in cluster.statuses[-1]["conditions"]}
    assert (first["Programmed"], first["Ready"]) == ("False", "False")
    assert cluster.events[-1].reason == "NotReady" or cluster.events[0].reason == "NotReady"


async def test_a_missing_api_server_leaves_everything_as_it_is(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await reconciler.cycle()
    cluster.away = True
    with pytest.raises(ClusterError):
        await reconciler.cycle()
    assert len(cluster.writes) == 1


async def test_the_absence_of_the_api_server_is_said_once_and_its_return_as_well(
    cluster: MemoryCluster, reconciler: Reconciler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cluster.away = True
    task = asyncio.create_task(reconciler.run())
    for _ in range(3):
        await asyncio.sleep(0.05)
        reconciler.pool_seen("u", _ + 1)
    assert reconciler.problem is not None
    cluster.away = False
    reconciler.pool_seen("u", 99)
    for _ in range(100):
        if reconciler.problem is None:
            break
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len([line for line in caplog.messages if "can't be reached" in line]) == 1
    assert "reconciling" in caplog.messages
    assert reconciler.counts.failed_cycles >= 2


async def test_a_deleted_pool_leaves_the_configuration(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await reconciler.cycle()
    cluster.view = replace(cluster.view, pools=())
    await reconciler.cycle()
    assert decode_for_node(cluster.writes[-1], "a") is None


async def test_only_a_new_generation_or_a_deletion_wakes(reconciler: Reconciler) -> None:
    reconciler.pool_seen("u", 1)
    assert reconciler._wake.is_set()
    reconciler._wake.clear()
    reconciler.pool_seen("u", 1)
    assert not reconciler._wake.is_set()
    reconciler.pool_seen("u", None)
    assert reconciler._wake.is_set()


async def test_an_operator_without_the_lease_writes_nothing(
    cluster: MemoryCluster, relay: dict[str, Any], make_pool: MakePool, make_report: Callable[..., Report]
) -> None:
    assert make_report
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))

    class Held(Leadership):
        def hold(self) -> str | None:
            return "ns/other"

    poller = Poller(None)
    waiting = Reconciler(cluster, poller, Held(cluster, "ns/me"), "ns/me")
    await waiting._turn()
    await poller.close()
    assert cluster.writes == []
    assert "ns/other holds the lease" in (waiting.problem or "")
