"""Relay pods and nodes as watches keep them, over a real socket."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from api_stand_in import RELAY_LABELS, ApiStandIn, make_list, refusal, relay_pod
from kubernetes import aio

from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.kube.api_server import ApiServer, ClusterError
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.pools.spec import Configuration, Node, RelayPod
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_testing.waiting import until

PODS = "/api/v1/namespaces/rtp/pods"
NODES = "/api/v1/nodes"
CONFIG_MAPS = "/api/v1/namespaces/rtp/configmaps"
POLICY = TrustPolicy("rtp", pool_namespaces=frozenset({"voice"}))
SELECTOR = ",".join(f"{key}={value}" for key, value in RELAY_LABELS.items())


def node(name: str, version: int = 2) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": {"zone": "1"}, "resourceVersion": str(version)}}


@pytest.fixture
async def api() -> AsyncIterator[ApiStandIn]:
    stand_in = ApiStandIn(
        documents={PODS: make_list(relay_pod()), NODES: make_list(node("b"), node("a")), CONFIG_MAPS: make_list()}
    )
    await stand_in.begin()
    yield stand_in
    await stand_in.end()


@pytest.fixture
def wakes() -> list[int]:
    return []


@pytest.fixture
def statuses() -> list[int]:
    """One item for each change of a status alone."""
    return []


@pytest.fixture
async def server(api: ApiStandIn) -> AsyncIterator[ApiServer]:
    made = ApiServer(aio.client.ApiClient(aio.client.Configuration(host=f"http://127.0.0.1:{api.port}")))
    yield made
    await made.close()


@pytest.fixture
async def watches(
    server: ApiServer, definition: dict[str, Any], wakes: list[int], statuses: list[int]
) -> AsyncIterator[Cluster]:
    served = asyncio.Event()
    served.set()
    made = Cluster(server, definition, POLICY, SELECTOR, lambda soon=False: (statuses if soon else wakes).append(1))
    task = asyncio.create_task(made.run(PeriodicJobs(asyncio.get_running_loop().time), served))
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def holds(read: Callable[[], Any], expected: Any) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return bool(read() == expected)
        except ClusterError:
            return False

    return check


def written(watches: Cluster) -> Configuration:
    view = watches.read_view()
    return Configuration(view.written, view.default_pool)


def problem(watches: Cluster) -> str:
    """Why the watches have no view; empty when they have one."""
    try:
        watches.read_view()
    except ClusterError as error:
        return str(error)
    return ""


def relay(name: str = "relay-a", **fields: Any) -> RelayPod:
    return RelayPod(name, f"uid-{name}", "a", "192.0.2.1", 9090, **fields)


async def test_relays_and_nodes_are_those_of_the_lists(watches: Cluster) -> None:
    await until(holds(lambda: watches.read_view().relays, (relay(),)))
    await until(
        holds(lambda: watches.read_view().nodes, {"a": Node("a", {"zone": "1"}), "b": Node("b", {"zone": "1"})})
    )
    assert [*watches.read_view().nodes] == ["a", "b"]


async def test_events_change_them_without_another_list(api: ApiStandIn, watches: Cluster) -> None:
    await until(lambda: bool(api.other_watches.get(PODS) and api.other_watches.get(NODES)))
    await api.emit("ADDED", relay_pod("relay-b", resourceVersion="3"), PODS)
    await api.emit("MODIFIED", relay_pod(deletionTimestamp="2026-01-01T00:00:00Z", resourceVersion="3"), PODS)
    await until(holds(lambda: watches.read_view().relays, (relay(terminating=True), relay("relay-b"))))
    await api.emit("DELETED", relay_pod(resourceVersion="4"), PODS)
    await api.emit("DELETED", node("b", 3), NODES)
    await until(holds(lambda: watches.read_view().relays, (relay("relay-b"),)))
    await until(holds(lambda: watches.read_view().nodes, {"a": Node("a", {"zone": "1"})}))
    assert (api.count("GET", PODS), api.count("GET", NODES)) == (2, 2), "a list and a watch of each"


async def test_an_annotation_that_was_written_shows_before_the_watch_shows_it(watches: Cluster) -> None:
    await until(holds(lambda: watches.read_view().relays, (relay(),)))
    watches._show_annotation(relay(), "abc.1", "9")
    assert watches.read_view().relays == (relay(revision="abc.1"),)
    watches._show_annotation(relay("relay-gone"), "abc", "0")
    assert watches.read_view().relays == (relay(revision="abc.1"),)


async def test_what_is_listed_anew_has_no_view_until_every_list_is_there(api: ApiStandIn, watches: Cluster) -> None:
    await until(lambda: bool(api.watches and api.other_watches.get(NODES)))
    await until(holds(lambda: len(watches.read_view().nodes), 2))
    held = asyncio.Event()
    api.documents[NODES] = make_list(node("c"))
    api.instead = lambda request: None if request.path == NODES or held.is_set() else refusal(503, "is starting")
    watches.list_anew()
    assert problem(watches) == "rtppools are being listed"
    await until(lambda: api.count("GET", NODES) == 4)
    assert "is starting" in problem(watches)
    held.set()
    await until(holds(lambda: [*watches.read_view().nodes], ["c"]))


def config_map(text: str, version: int = 2) -> dict[str, Any]:
    metadata = {"name": "rtp-relay-config", "uid": "uid-config", "resourceVersion": str(version)}
    return {"metadata": metadata, "data": {"pools.json": text}}


async def test_the_configuration_is_that_of_the_configmap(api: ApiStandIn, watches: Cluster) -> None:
    await until(holds(lambda: written(watches), Configuration()))
    await until(lambda: bool(api.other_watches.get(CONFIG_MAPS)))
    await api.emit("ADDED", config_map("{}"), CONFIG_MAPS)
    await until(holds(lambda: written(watches), Configuration("{}")))
    watches._show_configuration(config_map("new", 3))
    assert written(watches) == Configuration("new")
    await api.emit("DELETED", config_map("new", 4), CONFIG_MAPS)
    await until(holds(lambda: written(watches), Configuration()))


@pytest.mark.parametrize(("stands", "expected"), [(True, Configuration("{}")), (False, Configuration())])
async def test_a_role_that_may_only_get_the_configmap_is_enough(
    api: ApiStandIn, watches: Cluster, stands: bool, expected: Configuration
) -> None:
    api.instead = lambda request: refusal(403, "forbidden") if request.path == CONFIG_MAPS else None
    if stands:
        api.documents[f"{CONFIG_MAPS}/rtp-relay-config"] = config_map("{}")
    await until(holds(lambda: written(watches), expected))
    api.documents[f"{CONFIG_MAPS}/rtp-relay-config"] = config_map("new", 3)
    await until(holds(lambda: written(watches), Configuration("new")))


async def test_only_pods_of_this_release_are_relays(api: ApiStandIn, watches: Cluster) -> None:
    foreign = {
        "sentry": {**RELAY_LABELS, "app.kubernetes.io/name": "sentry"},
        "other-release": {**RELAY_LABELS, "app.kubernetes.io/instance": "other"},
        "echo": {**RELAY_LABELS, "app.kubernetes.io/component": "echo"},
    }
    api.documents[PODS] = make_list(relay_pod(), *(relay_pod(name, labels=labels) for name, labels in foreign.items()))
    await until(holds(lambda: watches.read_view().relays, (relay(),)))


async def test_nodes_are_asked_for_their_labels_alone(api: ApiStandIn, watches: Cluster) -> None:
    await until(holds(lambda: len(watches.read_view().nodes), 2))
    await until(lambda: bool(api.other_watches.get(NODES)))
    assert [accept for _, path, accept in api.requests if path == NODES] == [
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
    ]


async def test_an_empty_list_of_metadata_is_null(api: ApiStandIn, watches: Cluster) -> None:
    api.documents[NODES] = {**make_list(), "items": None}
    await until(holds(lambda: watches.read_view().nodes, {}))


@pytest.mark.parametrize("answer", ["not json", "[]", '{"items": 3}', "[" * 200_000])
async def test_an_answer_that_is_no_list_is_a_problem(api: ApiStandIn, watches: Cluster, answer: str) -> None:
    api.instead = lambda request: web.Response(text=answer) if request.path == PODS else None
    await until(lambda: problem(watches).startswith("list pods in rtp: the response is no"))


async def test_a_refusal_is_told_with_its_reason(api: ApiStandIn, watches: Cluster) -> None:
    api.instead = lambda request: refusal(403, "pods is forbidden") if request.path == PODS else None
    await until(lambda: problem(watches) == "list pods in rtp: 403 pods is forbidden")


async def test_a_version_of_a_pool_that_kopf_delivers_first_shows_at_once(api: ApiStandIn, watches: Cluster) -> None:
    document = await api.put_pool("default")
    await until(holds(lambda: [pool.key for pool in watches.read_view().pools], ["voice/default"]))
    edited = copy.deepcopy(document)
    edited["metadata"] |= {"generation": 2, "resourceVersion": "9"}
    watches.take_pool("MODIFIED", edited)
    assert [pool.generation for pool in watches.read_view().pools] == [2]
    watches.take_pool("DELETED", edited | {"metadata": edited["metadata"] | {"resourceVersion": "10"}})
    assert watches.read_view().pools == ()


async def with_a_status(api: ApiStandIn, watches: Cluster) -> dict[str, Any]:
    """Return the next version of a pool that the watches show: with a status, and otherwise the same."""
    document = await api.put_pool("default")
    await until(holds(lambda: len(watches.read_view().pools), 1))
    await until(lambda: bool(api.watches and api.other_watches.get(CONFIG_MAPS)))
    written: dict[str, Any] = copy.deepcopy(document) | {"status": {"activeCalls": 1}}
    written["metadata"]["resourceVersion"] = "9"
    return written


async def test_the_event_of_an_own_status_wakes_nobody_and_an_edit_in_the_written_pool_does(
    api: ApiStandIn, watches: Cluster, wakes: list[int]
) -> None:
    written = await with_a_status(api, watches)
    wakes.clear()
    watches._show_status(written)
    await api.emit("MODIFIED", written)
    assert ([each.status for each in watches.read_view().pools], wakes) == ([{"activeCalls": 1}], [])
    # The edit had version 10, and the status was written onto it before its event came.
    edited = copy.deepcopy(written)
    edited["metadata"] |= {"generation": 2, "resourceVersion": "11"}
    watches._show_status(edited)
    assert ([each.generation for each in watches.read_view().pools], wakes) == ([2], [1])


async def test_a_status_of_another_client_is_told_apart_from_an_edit(
    api: ApiStandIn, watches: Cluster, wakes: list[int], statuses: list[int]
) -> None:
    written = await with_a_status(api, watches)
    wakes.clear()
    watches.take_pool("MODIFIED", written)
    assert (wakes, statuses) == ([], [1])
    edited = copy.deepcopy(written)
    edited["metadata"] |= {"generation": 2, "resourceVersion": "10"}
    edited["spec"]["paused"] = True
    watches.take_pool("MODIFIED", edited)
    assert (wakes, statuses) == ([1], [1])
    (pool,) = watches.read_view().pools
    assert pool.spec is not None
    assert pool.spec.paused


async def test_whole_nodes_are_watched_only_where_a_pool_needs_their_addresses(
    api: ApiStandIn, watches: Cluster
) -> None:
    address = {"type": "ExternalIP", "address": "198.51.100.1"}
    api.documents[NODES] = make_list({**node("a"), "status": {"addresses": [address]}})
    document = await api.put_pool("default")
    document["metadata"]["namespace"] = "tenant"
    document["spec"]["advertise"] = {"source": "NodeExternalIP"}
    await until(holds(lambda: [pool.key for pool in watches.read_view().pools], ["tenant/default"]))
    await until(lambda: bool(api.other_watches.get(NODES)))
    assert api.count("GET", NODES) == 2, "a pool that is not honoured needs none"
    honoured = copy.deepcopy(document)
    honoured["metadata"] |= {"namespace": "voice", "resourceVersion": "9"}
    watches.take_pool("MODIFIED", honoured)
    await until(holds(lambda: watches.read_view().nodes["a"].external_address, "198.51.100.1"))
    await until(lambda: len(api.other_watches[NODES]) == 2)
    assert api.count("GET", NODES) == 4


async def test_the_spec_of_a_pool_that_is_not_honoured_is_not_read(api: ApiStandIn, watches: Cluster) -> None:
    document = await api.put_pool("default")
    document["metadata"]["namespace"], document["spec"] = "tenant", {"portRange": "a million times this"}
    await until(holds(lambda: len(watches.read_view().pools), 1))
    assert [(pool.spec, pool.problem, pool.generation) for pool in watches.read_view().pools] == [(None, None, 1)]


async def test_a_server_that_is_overloaded_is_left_alone(api: ApiStandIn, watches: Cluster, server: ApiServer) -> None:
    api.instead = lambda _request: web.json_response({}, status=429, headers={"Retry-After": "9"})
    await until(lambda: server.throttled > 0)
    with pytest.raises(ClusterError, match="overloaded and asked for a pause"):
        await server.read("list pods", PODS)
    assert problem(watches)
