"""The Kubernetes API over a real socket: requests, responses and rejections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from api_stand_in import GROUP_VERSION, POOLS, ApiStandIn, refusal, relay_pod
from kubernetes import aio

from rtppool_core.contract.pools_file import REFRESH_ANNOTATION
from rtppool_operator.kube.api_server import ApiServer, ClusterError
from rtppool_operator.kube.cluster import PORT_ANNOTATION, Cluster, configuration_of, relay_of
from rtppool_operator.kube.crd import DefinitionKeeper
from rtppool_operator.kube.lease import Leases
from rtppool_operator.pools.spec import Configuration, Pool, RelayPod
from rtppool_operator.pools.trust import TrustPolicy

MakePool = Callable[..., Pool]
CONFIG_MAPS = "/api/v1/namespaces/rtp/configmaps"
CONFIG_MAP = f"{CONFIG_MAPS}/rtp-relay-config"
STATUS = f"{GROUP_VERSION}/namespaces/voice/rtppools/default/status"
RELAY = RelayPod("relay-a", "uid-a", "a", "192.0.2.1", 9090)


class Shown(Cluster):
    """Records what is shown after a write."""

    def __init__(self, server: ApiServer, definition: Mapping[str, Any]) -> None:
        super().__init__(server, definition, TrustPolicy("rtp"), "", lambda **_: None)
        self.shown: list[Any] = []

    def _show_configuration(self, config_map: Mapping[str, Any]) -> None:
        self.shown.append(config_map)
        super()._show_configuration(config_map)

    def _show_annotation(self, relay: RelayPod, revision: str, version: str) -> None:
        self.shown.append((relay.uid, revision, version))

    def _show_status(self, document: Mapping[str, Any]) -> None:
        self.shown.append(document)


@pytest.fixture
async def api() -> AsyncIterator[ApiStandIn]:
    stand_in = ApiStandIn()
    await stand_in.begin()
    yield stand_in
    await stand_in.end()


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
async def server(api: ApiStandIn, clock: list[float]) -> AsyncIterator[ApiServer]:
    configuration = aio.client.Configuration(host=f"http://127.0.0.1:{api.port}")
    made = ApiServer(aio.client.ApiClient(configuration), lambda: clock[0])
    yield made
    await made.close()


@pytest.fixture
def cluster(server: ApiServer, definition: dict[str, Any]) -> Shown:
    return Shown(server, definition)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, True),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
        ({"annotations": {REFRESH_ANNOTATION: "abc.3"}}, True),
    ],
)
def test_a_pod_that_ends_is_still_a_relay(changes: dict[str, Any], seen: bool) -> None:
    relay = relay_of(relay_pod(**changes))
    assert (relay is not None) is seen
    assert relay is not None
    assert relay.terminating is ("deletionTimestamp" in changes)
    assert relay.revision == changes.get("annotations", {}).get(REFRESH_ANNOTATION)


@pytest.mark.parametrize("missing", ["nodeName", "ports", "phase"])
def test_a_pod_that_does_not_run_is_none(missing: str) -> None:
    document = relay_pod()
    if missing == "nodeName":
        del document["spec"]["nodeName"]
    elif missing == "ports":
        document["spec"]["containers"] = [{"name": "relay"}]
    else:
        document["status"]["phase"] = "Failed"
    assert relay_of(document) is None


@pytest.mark.parametrize(
    ("annotated", "port"),
    [
        ("9190", 9190),
        ("0", 9090),
        ("65536", 9090),
        ("+9190", 9090),
        ("9190 ", 9090),
        ("", 9090),
        ("9" * 5_000, 9090),
    ],
)
def test_the_port_of_a_relay_is_that_of_its_annotation_or_the_declared_one(annotated: str, port: int) -> None:
    relay = relay_of(relay_pod(annotations={PORT_ANNOTATION: annotated}))
    assert relay is not None
    assert relay.port == port


def test_a_relay_without_declared_ports_has_the_one_of_its_annotation() -> None:
    document = relay_pod(annotations={PORT_ANNOTATION: "9190"}, creationTimestamp="2026-01-01T00:00:00Z")
    document["spec"]["containers"] = [{"name": "relay"}]
    relay = relay_of(document)
    assert relay is not None
    assert (relay.port, relay.created) == (9190, "2026-01-01T00:00:00Z")


def test_a_configuration_that_lost_its_file_exists_all_the_same() -> None:
    assert configuration_of({"metadata": {"resourceVersion": "7"}, "data": {"other": "x"}}) == Configuration(
        "", None, "7"
    )
    assert configuration_of({"metadata": {}}) == Configuration("")
    recorded = {"metadata": {"annotations": {"rtppool.dev/default-pool": "default"}}, "data": {"pools.json": "{}"}}
    assert configuration_of(recorded) == Configuration("{}", "default")


async def test_the_configuration_is_shown_as_each_write_returned_it(api: ApiStandIn, cluster: Shown) -> None:
    stored = {"metadata": {"uid": "uid-config", "resourceVersion": "7"}, "data": {"pools.json": "of another client"}}
    api.instead = lambda _request: web.json_response(stored)
    await cluster.write("new")
    await cluster.record_default_pool("default")
    await cluster.write("newest")
    assert cluster.shown == [stored] * 3
    paths = [(method, path) for method, path, _ in api.requests]
    assert paths == [("POST", CONFIG_MAPS), ("PATCH", CONFIG_MAP), ("PATCH", CONFIG_MAP)]
    assert api.bodies[2] == {"metadata": {"resourceVersion": "7"}, "data": {"pools.json": "newest"}}


async def test_a_write_that_another_one_has_overtaken_fails_and_the_configmap_is_listed_anew(
    api: ApiStandIn, cluster: Shown
) -> None:
    cluster._show_configuration({"metadata": {"uid": "uid-config", "resourceVersion": "7"}})
    assert "are being listed" not in str(cluster._configuration.problem)
    api.instead = lambda _request: refusal(409, "the object has been modified")
    with pytest.raises(ClusterError, match="409 the object has been modified"):
        await cluster.write("late")
    assert api.bodies == [{"metadata": {"resourceVersion": "7"}, "data": {"pools.json": "late"}}]
    assert "are being listed" in str(cluster._configuration.problem)


@pytest.mark.parametrize("answer", ["not json", "[]", "{}", "[" * 200_000])
async def test_an_answer_that_is_no_object_is_an_error_of_the_cluster(
    api: ApiStandIn, cluster: Cluster, answer: str
) -> None:
    api.instead = lambda _request: web.Response(text=answer)
    with pytest.raises(ClusterError, match="patch configmap rtp-relay-config: the response is no"):
        await cluster.record_default_pool("default")


async def test_a_status_is_returned_and_shown_as_it_is_kept(
    api: ApiStandIn, cluster: Shown, make_pool: MakePool
) -> None:
    api.documents[STATUS] = {"metadata": {"uid": "uid-default", "resourceVersion": "7"}, "status": {"activeCalls": 1}}
    pool = make_pool()
    assert await cluster.write_status(pool, {"activeCalls": 1, "new": 2}) == {"activeCalls": 1}
    assert api.bodies == [
        [
            {"op": "test", "path": "/metadata/uid", "value": pool.uid},
            {"op": "add", "path": "/status", "value": {"activeCalls": 1, "new": 2}},
        ]
    ]
    assert cluster.shown == [api.documents[STATUS]]


@pytest.mark.parametrize(
    "answer",
    [
        # The text of kube-apiserver 1.36 for a JSON patch whose test fails: invalid, without a field.
        lambda: refusal(422, "the server rejected our request due to an error in our request"),
        lambda: refusal(404, "not found", name="default"),
        lambda: refusal(409, "the object has been modified", name="default"),
    ],
)
async def test_a_pool_that_is_gone_or_was_made_anew_needs_no_status(
    api: ApiStandIn, cluster: Cluster, make_pool: MakePool, answer: Callable[[], web.Response]
) -> None:
    api.instead = lambda _request: answer()
    assert await cluster.write_status(make_pool(), {}) is None


async def test_a_status_that_the_definition_refuses_is_an_error(
    api: ApiStandIn, cluster: Cluster, make_pool: MakePool
) -> None:
    api.instead = lambda _request: refusal(
        422,
        'RtpPool "default" is invalid: status.activeCalls: Invalid value',
        name="default",
        causes=[{"reason": "FieldValueInvalid", "field": "status.activeCalls"}],
    )
    with pytest.raises(ClusterError, match=r"status\.activeCalls: Invalid value"):
        await cluster.write_status(make_pool(), {"activeCalls": -1})


async def test_a_pod_that_is_gone_needs_no_annotation(api: ApiStandIn, cluster: Shown) -> None:
    await cluster.refresh(RELAY, "abc")
    assert cluster.shown == [("uid-a", "abc", "0")], "it is not written again, also while the watch is silent"
    assert api.bodies == [{"metadata": {"annotations": {REFRESH_ANNOTATION: "abc"}}}]
    assert "as=PartialObjectMetadata;" in api.requests[0][2], "the whole pod is not sent back"


async def test_an_annotation_is_shown_with_the_version_that_it_made(api: ApiStandIn, cluster: Shown) -> None:
    api.instead = lambda _request: web.json_response({"metadata": {"uid": "uid-a", "resourceVersion": "8"}})
    await cluster.refresh(RELAY, "abc")
    assert cluster.shown == [("uid-a", "abc", "8")]


async def test_a_server_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks_for(
    api: ApiStandIn, server: ApiServer, cluster: Cluster, clock: list[float]
) -> None:
    api.instead = lambda _request: web.json_response({"message": "too many"}, status=429, headers={"Retry-After": "3"})
    with pytest.raises(ClusterError):
        await cluster.refresh(RELAY, "abc")
    assert server.throttled == 1
    asked = len(api.requests)
    api.instead = lambda _request: None
    clock[0] += 2.9
    with pytest.raises(ClusterError, match="overloaded and asked for a pause"):
        await cluster.refresh(RELAY, "abc")
    assert len(api.requests) == asked
    assert await Leases(server).lease() is None, "a lease can't wait"
    clock[0] += 0.2
    await cluster.refresh(RELAY, "abc")


async def test_a_server_that_asks_for_a_year_is_asked_after_ten_seconds(
    api: ApiStandIn, cluster: Cluster, clock: list[float]
) -> None:
    api.instead = lambda _request: web.json_response({}, status=429, headers={"Retry-After": "31536000"})
    with pytest.raises(ClusterError):
        await cluster.refresh(RELAY, "abc")
    api.instead = lambda _request: None
    clock[0] += 10.1
    await cluster.refresh(RELAY, "abc")


async def test_a_server_that_is_not_there_is_told(api: ApiStandIn, cluster: Cluster) -> None:
    await api.end()
    with pytest.raises(ClusterError, match="the API server can't be reached"):
        await cluster.refresh(RELAY, "abc")


async def test_pools_are_served_when_their_version_can_be_asked_for(api: ApiStandIn, server: ApiServer) -> None:
    assert not await DefinitionKeeper(server, {}).serves_pools()
    api.documents[GROUP_VERSION] = {"kind": "APIResourceList", "resources": []}
    assert await DefinitionKeeper(server, {}).serves_pools()
    assert api.count("GET", POOLS) == 0


async def test_the_definition_is_applied_as_helm_so_that_no_later_upgrade_meets_a_conflict(
    api: ApiStandIn, server: ApiServer
) -> None:
    queries: list[dict[str, str]] = []

    def accept(request: web.Request) -> web.StreamResponse:
        queries.append(dict(request.query))
        return web.json_response({})

    api.instead = accept
    await DefinitionKeeper(server, {}).write_definition({})
    assert queries == [{"fieldManager": "helm", "force": "true"}]


async def test_a_lease_that_somebody_else_wrote_first_is_not_ours(api: ApiStandIn, server: ApiServer) -> None:
    api.instead = lambda _request: refusal(409, "the object has been modified")
    for version, method in (({"resourceVersion": "7"}, "PUT"), ({}, "POST")):
        lease = {"metadata": {"name": "rtp-pool-operator", **version}, "spec": {"holderIdentity": "ns/me"}}
        assert not await Leases(server).write_lease(lease)
        assert api.requests[-1][0] == method
