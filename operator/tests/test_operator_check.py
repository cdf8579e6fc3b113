"""`helm test` as a program: the pods of an API server, the verdict for each node, and the exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from api_stand_in import ApiStandIn, make_list

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.packet_check import Burst, PacketCheck

PODS = "/api/v1/namespaces/voice/pods"
CRD = Path(__file__).resolve().parents[2] / "charts/rtp-pool/crds/rtppools.yaml"
INSTANCE = {"app.kubernetes.io/name": "rtp-pool", "app.kubernetes.io/instance": "rtp"}
SELECTOR = "app.kubernetes.io/name=rtp-pool,app.kubernetes.io/instance=rtp,app.kubernetes.io/component=relay"
READY = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
ALL = Burst("127.0.0.1:4000", 10, 10, 350)


@pytest.fixture
async def api() -> AsyncIterator[ApiStandIn]:
    server = ApiStandIn()
    await server.begin()
    yield server
    await server.end()


@pytest.fixture
async def relay() -> AsyncIterator[dict[str, Any]]:
    """Run a relay whose answer a test may set; yield its port and the tokens that it got."""
    held: dict[str, Any] = {"answer": PacketCheck("node-1", ALL, ALL), "tokens": []}

    async def check(request: web.Request) -> web.StreamResponse:
        held["tokens"].append(request.headers.get("Authorization"))
        if held["answer"] is None:
            raise web.HTTPNotFound
        return web.json_response(to_json(held["answer"]))

    app = web.Application()
    app.router.add_get("/check", check)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    held["port"] = runner.addresses[0][1]
    yield held
    await runner.cleanup()


def pod(component: str, node: str, status: dict[str, Any], port: int = 1, **spec: Any) -> dict[str, Any]:
    labels = INSTANCE | {"app.kubernetes.io/component": component}
    ports = [{"name": "http", "containerPort": port}]
    where = {"nodeName": node} if node else {}
    return {
        "metadata": {"name": f"{component}-{node}", "uid": f"{component}-{node}", "labels": labels},
        "spec": {"containers": [{"name": component, "ports": ports}]} | where | spec,
        "status": status,
    }


async def helm_test(api: ApiStandIn, folder: Path, *pods: dict[str, Any]) -> tuple[int, list[str]]:
    """Run the program, and return its exit code and its lines."""
    api.documents[PODS] = make_list(*pods)
    (folder / "token").write_text("open-sesame")
    variables = {
        "POD_NAMESPACE": "voice",
        "RELAY_SELECTOR": SELECTOR,
        "RELAY_TOKEN_FILE": str(folder / "token"),
        "CRD_FILE": str(CRD),
        "KUBECONFIG": str(api.kubeconfig(folder)),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rtppool_operator.check", env=variables, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode().splitlines()


async def test_each_node_has_its_line_and_all_packets_are_success(
    api: ApiStandIn, relay: dict[str, Any], tmp_path: Path
) -> None:
    pods = (pod("relay", "node-1", READY, relay["port"]), pod("echo", "node-1", READY), pod("echo", "node-2", READY))
    figures = "sent 10, returned 10, median round trip 0.350 ms"
    assert await helm_test(api, tmp_path, *pods) == (
        0,
        [
            f"ok      node node-1: through the relay to the echo at 127.0.0.1:4000: {figures}",
            f"ok      node node-1: to the node's own echo at 127.0.0.1:4000: {figures}",
            "ok      node node-2: has an echo and no relay, so no packet was sent from there",
        ],
    )
    assert relay["tokens"] == ["Bearer open-sesame"]


async def test_a_lost_packet_fails_with_its_node_and_the_remedy(
    api: ApiStandIn, relay: dict[str, Any], tmp_path: Path
) -> None:
    relay["answer"] = PacketCheck("node-1", Burst("127.0.0.1:4000", 10, 9, 350))
    code, (line,) = await helm_test(api, tmp_path, pod("relay", "node-1", READY, relay["port"]))
    assert code == 1
    assert line.startswith("FAILED  node node-1: through the relay to the echo at 127.0.0.1:4000: sent 10, returned 9")
    assert "see the condition EchoReachable" in line


async def test_a_relay_that_does_not_answer_fails_with_its_node(
    api: ApiStandIn, relay: dict[str, Any], tmp_path: Path
) -> None:
    relay["answer"] = None
    pods = [pod("relay", "node-1", READY, relay["port"]), pod("relay", "node-2", READY, 1)]
    code, lines = await helm_test(api, tmp_path, *pods)
    assert code == 1
    assert f"FAILED  node node-1: the relay sent no packets: 127.0.0.1:{relay['port']}: it answered 404" in lines[0]
    assert "FAILED  node node-2: the relay sent no packets: 127.0.0.1:1 can't be connected" in lines[1]


async def test_a_pod_that_does_not_run_fails_with_its_node_and_the_reason(api: ApiStandIn, tmp_path: Path) -> None:
    waiting = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [named]}}}
    full = "0/2 nodes are available: 1 node(s) didn't have free ports."
    unscheduled = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": full}]}
    starting = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    code, lines = await helm_test(
        api,
        tmp_path,
        pod("echo", "node-1", waiting),
        pod("relay", "", unscheduled, affinity=affinity),
        pod("relay", "node-3", starting),
    )
    assert code == 1
    assert lines == [
        "FAILED  node node-1: the echo does not run: ImagePullBackOff. kubectl describe pod echo-node-1",
        f"FAILED  node node-2: the relay does not run: {full}. kubectl describe pod relay-",
        "FAILED  node node-3: the relay does not run: it is Running and not ready. kubectl describe pod relay-node-3",
        "ok      node node-1: has an echo and no relay, so no packet was sent from there",
    ]


async def test_a_release_without_a_relay_fails_with_the_reasons(api: ApiStandIn, tmp_path: Path) -> None:
    code, lines = await helm_test(api, tmp_path)
    assert code == 1
    assert lines[0].startswith("FAILED  namespace voice has no relay pod. kubectl describe daemonset --namespace voice")


async def test_an_api_server_that_refuses_is_a_failure_with_its_reason(api: ApiStandIn, tmp_path: Path) -> None:
    api.instead = lambda _request: web.json_response({"kind": "Status", "message": "no"}, status=403)
    assert await helm_test(api, tmp_path) == (1, [])
