"""Relay pods and nodes as watches keep them, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from api_stand_in import RELAY_LABELS, ApiStandIn, make_list, refusal, relay_pod
from kubernetes import aio

from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.kube.api_server import ApiServer, ClusterError, Throttle
from rtppool_operator.kube.watches import ClusterWatches
from rtppool_operator.pools.cluster_view import Configuration, Node, RelayPod
from rtppool_testing.waiting import until

PODS = "/api/v1/namespaces/rtp/pods"
NODES = "/api/v1/nodes"
CONFIG_MAPS = "/api/v1/namespaces/rtp/configmaps"
SELECTOR = ",".join(f"{key}={value}" for key, value in RELAY_LABELS.items())


def node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": {"zone": "1"}, "resourceVersion": "2"}}


@pytest.fixture
async def api() -> AsyncIterator[ApiStandIn]:
    stand_in = ApiStandIn(
        documents={PODS: make_list(relay_pod()), NODES: make_list(node("b"), node("a")), CONFIG_MAPS: make_list()}
    )
    await stand_in.begin()
    yield stand_in
    await stand_in.end()


@pytest.fixture
def throttle() -> Throttle:
    return Throttle()


@pytest.fixture
async def watches(api: ApiStandIn, throttle: Throttle) -> AsyncIterator[ClusterWatches]:
    client = aio.client.ApiClient(aio.client.Configuration(host=f"http://127.0.0.1:{api.port}"))
    server = ApiServer(client, throttle)
    made = ClusterWatches(server, "rtp", SELECTOR)
    task = asyncio.create_task(made.run(PeriodicJobs(asyncio.get_running_loop().time)))
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await server.close()


def holds(read: Callable[[], Any], expected: Any) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return bool(read() == expected)
        except ClusterError:
            return False

    return check


def relay(name: str = "relay-a", **fields: Any) -> RelayPod:
    return RelayPod(name, f"uid-{name}", "a", "192.0.2.1", 9090, **fields)


async def test_relays_and_nodes_are_those_of_the_lists(watches: ClusterWatches) -> None:
    await until(holds(watches.relays, (relay(),)))
    await until(holds(watches.nodes, {"a": Node("a", {"zone": "1"}), "b": Node("b", {"zone": "1"})}))
    assert [*watches.nodes()] == ["a", "b"]


async def test_events_change_them_without_another_list(api: ApiStandIn, watches: ClusterWatches) -> None:
    await until(lambda: bool(api.other_watches.get(PODS) and api.other_watches.get(NODES)))
    await api.emit("ADDED", relay_pod("relay-b"), PODS)
    await api.emit("MODIFIED", relay_pod(deletionTimestamp="2026-01-01T00:00:00Z"), PODS)
    await until(holds(watches.relays, (relay(terminating=True), relay("relay-b"))))
    await api.emit("DELETED", relay_pod(), PODS)
    await api.emit("DELETED", node("b"), NODES)
    await until(holds(watches.relays, (relay("relay-b"),)))
    await until(holds(watches.nodes, {"a": Node("a", {"zone": "1"})}))
    assert (api.count("GET", PODS), api.count("GET", NODES)) == (2, 2), "a list and a watch of each"


async def test_an_annotation_that_was_written_shows_before_the_watch_shows_it(watches: ClusterWatches) -> None:
    await until(holds(watches.relays, (relay(),)))
    watches.annotated(relay(), "abc.1")
    assert watches.relays() == (relay(revision="abc.1"),)
    watches.annotated(relay("relay-gone"), "abc")
    assert watches.relays() == (relay(revision="abc.1"),)


def config_map(text: str) -> dict[str, Any]:
    metadata = {"name": "rtp-relay-config", "uid": "uid-config", "resourceVersion": "2"}
    return {"metadata": metadata, "data": {"pools.json": text}}


async def test_the_configuration_is_that_of_the_configmap(api: ApiStandIn, watches: ClusterWatches) -> None:
    await until(holds(watches.configuration, Configuration()))
    await until(lambda: bool(api.other_watches.get(CONFIG_MAPS)))
    await api.emit("ADDED", config_map("{}"), CONFIG_MAPS)
    await until(holds(watches.configuration, Configuration("{}")))
    watches.configured("uid-config", Configuration("new"))
    assert watches.configuration() == Configuration("new")
    await api.emit("DELETED", config_map("new"), CONFIG_MAPS)
    await until(holds(watches.configuration, Configuration()))


async def test_only_pods_of_this_release_are_relays(api: ApiStandIn, watches: ClusterWatches) -> None:
    foreign = {
        "sentry": {**RELAY_LABELS, "app.kubernetes.io/name": "sentry"},
        "other-release": {**RELAY_LABELS, "app.kubernetes.io/instance": "other"},
        "echo": {**RELAY_LABELS, "app.kubernetes.io/component": "echo"},
    }
    api.documents[PODS] = make_list(relay_pod(), *(relay_pod(name, labels=labels) for name, labels in foreign.items()))
    await until(holds(watches.relays, (relay(),)))


async def test_nodes_are_asked_for_their_labels_alone(api: ApiStandIn, watches: ClusterWatches) -> None:
    await until(holds(lambda: len(watches.nodes()), 2))
    await until(lambda: bool(api.other_watches.get(NODES)))
    assert [accept for _, path, accept in api.requests if path == NODES] == [
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
    ]


async def test_an_empty_list_of_metadata_is_null(api: ApiStandIn, watches: ClusterWatches) -> None:
    api.documents[NODES] = {**make_list(), "items": None}
    await until(holds(watches.nodes, {}))


@pytest.mark.parametrize("answer", ["not json", "[]", '{"items": 3}', "[" * 200_000])
async def test_an_answer_that_is_no_list_is_a_problem(api: ApiStandIn, watches: ClusterWatches, answer: str) -> None:
    api.instead = lambda request: web.Response(text=answer) if request.path == PODS else None
    await until(holds(lambda: len(watches.nodes()), 2))
    with pytest.raises(ClusterError, match="list pods in rtp: the response is no"):
        watches.relays()


async def test_a_refusal_is_told_with_its_reason(api: ApiStandIn, watches: ClusterWatches) -> None:
    api.instead = lambda request: refusal(403, "pods is forbidden") if request.path == PODS else None
    await until(holds(lambda: len(watches.nodes()), 2))
    with pytest.raises(ClusterError, match="list pods in rtp: 403 pods is forbidden"):
        watches.relays()


async def test_a_server_that_is_overloaded_is_left_alone(
    api: ApiStandIn, watches: ClusterWatches, throttle: Throttle
) -> None:
    api.instead = lambda _request: web.json_response({}, status=429, headers={"Retry-After": "9"})
    await until(lambda: throttle.count > 0)
    with pytest.raises(ClusterError, match="overloaded and asked for a pause"):
        throttle.check("list pods")
    with pytest.raises(ClusterError):
        watches.relays()
