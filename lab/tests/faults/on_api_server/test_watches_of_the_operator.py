"""The operator's caches of the cluster against a real API server, through a proxy with faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from kubernetes import aio

from lab.base.places import DEFINITION_FILE
from lab.faults.operator.api.faulty_proxy import Refusal
from lab.faults.operator.api.resources import NAMESPACE, NODES
from lab.faults.operator.rig.rig import Rig
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.kube import reflector
from rtppool_operator.kube.api_server import ApiServer, ClusterError
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.kube.crd import read_definition
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.settings import DEFAULT_RELAY_SELECTOR

pytestmark = pytest.mark.timeout(120)

SEEN_WITHIN = 20.0
SILENT_SECONDS, RESYNC_SECONDS = 3.0, 2


@pytest.fixture
async def watches(empty_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """Yield caches of the operator's account, whose silent watches end after three seconds."""
    monkeypatch.setattr(reflector, "SILENT_SECONDS", SILENT_SECONDS)
    configuration = aio.client.Configuration(host=empty_rig.proxy.url)
    configuration.api_key["BearerToken"] = f"Bearer {empty_rig.account.token}"
    api = ApiServer(aio.client.ApiClient(configuration))
    definition, served = read_definition(DEFINITION_FILE), asyncio.Event()
    served.set()
    made = Cluster(api, definition, TrustPolicy(NAMESPACE), DEFAULT_RELAY_SELECTOR, lambda **_: None)
    task = asyncio.create_task(made.run(PeriodicJobs(asyncio.get_running_loop().time), served))
    await empty_rig.until(
        "both lists", SEEN_WITHIN, lambda: zones(made) == {f"node-{n}": "ab"[n % 2] for n in range(4)}
    )
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await api.close()


def zones(watches: Cluster) -> dict[str, str]:
    """Return the zones of the nodes; nothing while they are out of date."""
    try:
        return {name: node.labels["zone"] for name, node in watches.read_view().nodes.items()}
    except ClusterError:
        return {}


def relayed(watches: Cluster) -> set[str]:
    """Return the nodes with a relay; nothing while the relays are out of date."""
    try:
        return {relay.node for relay in watches.read_view().relays}
    except ClusterError:
        return set()


async def label(rig: Rig, node: str, zone: str) -> None:
    await rig.persist(lambda: rig.api.patch(f"{NODES}/{node}", {"metadata": {"labels": {"zone": zone}}}))


def has_zone(watches: Cluster, node: str, zone: str) -> Callable[[], bool]:
    return lambda: zones(watches).get(node) == zone


async def test_changes_come_without_a_list(empty_rig: Rig, watches: Cluster) -> None:
    await empty_rig.until("watches", SEEN_WITHIN, lambda: empty_rig.proxy.requests.get("watch", 0) >= 4)
    await label(empty_rig, "node-1", "c")
    await empty_rig.relays.add([("node-9", {"zone": "d"})])
    await empty_rig.until("a label", SEEN_WITHIN, has_zone(watches, "node-1", "c"))
    await empty_rig.until("a node and its pod", SEEN_WITHIN, lambda: "node-9" in relayed(watches))
    assert empty_rig.proxy.requests["list"] == 4


async def test_a_silent_watch_is_replaced(empty_rig: Rig, watches: Cluster) -> None:
    empty_rig.proxy.faults.watches.silent = True
    await label(empty_rig, "node-1", "c")
    await empty_rig.until("a label", SEEN_WITHIN, has_zone(watches, "node-1", "c"))


async def test_bookmarks_keep_a_watch_open_that_loses_events_until_the_server_ends_it(
    empty_rig: Rig, watches: Cluster
) -> None:
    await empty_rig.until("watches", SEEN_WITHIN, lambda: empty_rig.proxy.requests.get("watch", 0) >= 4)
    empty_rig.proxy.faults.watches.bookmarks_only = True
    await label(empty_rig, "node-1", "c")
    await asyncio.sleep(2 * SILENT_SECONDS)
    assert (zones(watches)["node-1"], empty_rig.proxy.requests["list"]) == ("b", 4)
    empty_rig.proxy.faults.clear()
    empty_rig.proxy.end_watches()
    await empty_rig.until("a label", SEEN_WITHIN, has_zone(watches, "node-1", "c"))
    assert watches.corrections == 1


async def test_lost_events_are_found_by_the_next_regular_list_at_the_latest(
    empty_rig: Rig, watches: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "RESYNC_SECONDS", RESYNC_SECONDS)
    await empty_rig.until("watches", SEEN_WITHIN, lambda: empty_rig.proxy.requests.get("watch", 0) >= 4)
    empty_rig.proxy.end_watches()
    await empty_rig.until("the next ones", SEEN_WITHIN, lambda: empty_rig.proxy.requests["watch"] >= 8)
    empty_rig.proxy.faults.watches.bookmarks_only = True
    await label(empty_rig, "node-1", "c")
    await empty_rig.until("a label", SEEN_WITHIN, has_zone(watches, "node-1", "c"))
    assert watches.corrections >= 1


@pytest.mark.parametrize("status", [403, 410, 500])
async def test_a_watch_that_is_refused_leaves_lists(empty_rig: Rig, watches: Cluster, status: int) -> None:
    empty_rig.proxy.faults.refusals.append(Refusal(status, frozenset({"watch"})))
    await empty_rig.server.kill()
    await empty_rig.server.restart()
    await label(empty_rig, "node-1", "c")
    await empty_rig.until("a label", SEEN_WITHIN, has_zone(watches, "node-1", "c"))


async def test_a_killed_server_is_listed_anew(empty_rig: Rig, watches: Cluster) -> None:
    await empty_rig.server.kill()
    await empty_rig.until(
        "the caches are out of date", SEEN_WITHIN, lambda: not zones(watches) and not relayed(watches)
    )
    await empty_rig.server.restart()
    await label(empty_rig, "node-1", "c")
    await empty_rig.until("a label", SEEN_WITHIN, has_zone(watches, "node-1", "c"))


async def test_lists_of_the_version_that_a_watch_has_reached_correct_nothing(
    empty_rig: Rig, watches: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "RESYNC_SECONDS", RESYNC_SECONDS)
    monkeypatch.setattr(reflector, "PAUSES_SECONDS", (0.1,))
    await empty_rig.server.kill()
    await empty_rig.server.restart()
    await empty_rig.until("the lists after it", SEEN_WITHIN, lambda: bool(zones(watches) and relayed(watches)))
    for number in range(100):
        await label(empty_rig, f"node-{number % 4}", f"zone-{number}")
        await asyncio.sleep(0.1)
    await empty_rig.until("the latest label", SEEN_WITHIN, has_zone(watches, "node-3", "zone-99"))
    assert watches.corrections == 0
    answered = [json.loads(line) for line in empty_rig.server.audit_log.read_text().splitlines()]
    exact = [each["responseStatus"]["code"] for each in answered if "resourceVersionMatch=Exact" in each["requestURI"]]
    assert exact.count(200) >= 4, exact
