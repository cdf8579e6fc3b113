"""The whole operator on a stand-in of an API server: its HTTP answers, and the start of its watch."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest
import yaml
from aiohttp import web
from api_stand_in import DISCOVERY, GROUP_VERSION, ApiStandIn, make_list, refusal

from rtppool_operator import handlers as registered
from rtppool_operator.app import App
from rtppool_operator.kube.api_server import connect
from rtppool_operator.kube.crd import read_definition
from rtppool_operator.kube.kopf_watch import APP, TAKE_POOL
from rtppool_operator.settings import read_settings
from rtppool_testing.ports import free_port
from rtppool_testing.waiting import until

# kopf's types want every argument that kopf hands over, and a handler takes those that it names.
handlers: Any = registered

CRD = Path(__file__).resolve().parents[2] / "charts/rtp-pool/files/rtppools.yaml"
OURS = read_definition(CRD)
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rtppools.rtppool.dev"
VARIABLES = {"POD_NAMESPACE": "rtp", "POD_NAME": "operator-1", "CRD_FILE": str(CRD), "HTTP_BIND": "127.0.0.1"}


def standing_definition() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(CRD.read_text())
    return {**document, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


def written(request: web.Request) -> web.StreamResponse | None:
    """Accept every write."""
    named = {"namespace": "voice", "name": "written", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    accepted = {"metadata": {"uid": "uid-written", "resourceVersion": "1", **named}, "status": {}}
    return web.json_response(accepted) if request.method in {"POST", "PUT", "PATCH"} else None


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiStandIn]:
    documents = {
        **DISCOVERY,
        DEFINITION: standing_definition(),
        "/api/v1/nodes": make_list(),
        "/api/v1/namespaces/rtp/pods": make_list(),
        "/api/v1/namespaces/rtp/configmaps": make_list(),
    }
    stand_in = ApiStandIn(documents=documents, instead=written)
    await stand_in.begin()
    kubeconfig = str(stand_in.kubeconfig(tmp_path))
    for client in ("kubernetes.config", "kubernetes.aio.config"):
        monkeypatch.setattr(f"{client}.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)
    yield stand_in
    await stand_in.end()


async def make_app() -> App:
    settings = read_settings(VARIABLES)
    return App(await connect(), OURS, settings)


@pytest.fixture
async def app(api: ApiStandIn) -> AsyncIterator[App]:
    assert api.port
    made = await make_app()
    yield made
    await made.stop()


async def answer(app: App, path: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{app.http_port}{path}") as response,
    ):
        return response.status, await response.json()


async def test_it_answers_while_the_definition_is_missing_and_goes_on_when_it_comes(api: ApiStandIn, app: App) -> None:
    documents = {path: api.documents.pop(path) for path in (DEFINITION, GROUP_VERSION)}
    api.instead = lambda request: refusal(403, "forbidden") if request.path == DEFINITION else written(request)
    await app.start("127.0.0.1", 0)
    await until(lambda: "403 forbidden" in (app.definition.problem or ""))
    status, body = await answer(app, "/ready")
    assert status == 503
    assert "403 forbidden" in body["problems"][0]
    assert (await answer(app, "/health"))[0] == 200
    api.instead = written
    api.documents.update(documents)
    await until(lambda: app.definition.served.is_set() and app.reconciler.problem is None)
    assert await answer(app, "/ready") == (200, {"ready": True, "problems": []})
    assert await answer(app, "/healthz") == await answer(app, "/health")


async def test_idle_connections_delay_no_probe(app: App) -> None:
    await app.start("127.0.0.1", 0)
    clients = [socket.socket() for _ in range(1000)]
    for client in clients:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", app.http_port))
    assert (await answer(app, "/health"))[0] == 200
    for client in clients:
        client.close()


async def test_an_edit_wakes_it_by_the_watch(api: ApiStandIn, app: App) -> None:
    await app.start("127.0.0.1", 0)
    app.watch_pools(lambda: None)
    await until(lambda: bool(api.watches))
    await api.put_pool("default")
    await until(lambda: app.reconciler.counts.pools == 1)
    assert (await answer(app, "/health"))[0] == 200


LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/rtp-pool-operator"


def led_by(api: ApiStandIn, holder: str, version: int) -> None:
    api.documents[LEASE] = {"metadata": {"resourceVersion": str(version)}, "spec": {"holderIdentity": holder}}


@pytest.mark.parametrize(
    ("holder", "status", "says"),
    [
        ("rtp/operator-2", 200, ""),
        ("rtp/other-1-2", 503, "operator rtp/other-1-2 holds the lease"),
        ("lab/operator-2", 503, "operator lab/operator-2 holds the lease"),
    ],
)
async def test_an_operator_is_ready_while_a_replica_leads_and_not_while_another_release_does(
    api: ApiStandIn, app: App, holder: str, status: int, says: str
) -> None:
    led_by(api, holder, 7)
    await app.start("127.0.0.1", 0)
    await until(lambda: app.definition.served.is_set() and "holds the lease" in (app.reconciler.problem or ""))
    assert (await answer(app, "/ready"))[0] == 503, "the holder was not seen to renew the lease"
    led_by(api, holder, 8)
    await until(lambda: app.reconciler.stands_by or status != 200)
    ready, body = await answer(app, "/ready")
    assert ready == status
    assert says in str(body)
    assert (await answer(app, "/health"))[0] == 200


async def test_an_operator_that_stands_by_is_not_ready_while_the_api_server_is_away(api: ApiStandIn, app: App) -> None:
    led_by(api, "rtp/operator-2", 7)
    await app.start("127.0.0.1", 0)
    await until(lambda: app.definition.served.is_set() and "holds the lease" in (app.reconciler.problem or ""))
    led_by(api, "rtp/operator-2", 8)
    await until(lambda: app.reconciler.stands_by)
    api.instead = lambda request: refusal(500, "away") if "leases" in request.path else None
    await until(lambda: not app.reconciler.stands_by)
    assert (await answer(app, "/ready"))[0] == 503


async def test_its_lease_is_given_up_at_the_end(api: ApiStandIn) -> None:
    app = await make_app()
    await app.start("127.0.0.1", 0)
    await until(lambda: app.reconciler.problem is None)
    api.documents[LEASE] = {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "rtp/operator-1"}}
    await app.stop()
    assert api.bodies[-1]["spec"]["holderIdentity"] == ""


async def test_kopf_run_starts_the_operator_once(api: ApiStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**VARIABLES, "HTTP_PORT": str(free_port())}.items():
        monkeypatch.setenv(name, value)
    memo, settings = kopf.Memo(), kopf.OperatorSettings()
    await handlers.begin(settings=settings, memo=memo)
    first = memo[APP]
    assert first.definition.served.is_set(), "kopf watches what is defined when it begins"
    await handlers.begin(settings=settings, memo=memo)
    assert memo[APP] is first
    pool = await api.put_pool("default")
    await handlers.pool_changed(memo=memo, event={"type": "ADDED", "object": pool})
    await until(lambda: first.reconciler.counts.pools == 1)
    await handlers.end(memo=memo)


async def test_kopf_beside_a_started_operator_starts_none(api: ApiStandIn) -> None:
    memo = kopf.Memo()
    memo[TAKE_POOL] = lambda *_: None
    await handlers.begin(settings=kopf.OperatorSettings(), memo=memo)
    await handlers.end(memo=memo)
    assert APP not in memo
    assert api.requests == []


async def test_the_token_goes_to_relays_of_this_release_and_to_no_foreign_pod(
    api: ApiStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = {"app.kubernetes.io/name": "rtp-pool", "app.kubernetes.io/component": "relay"}
    foreign = {**ours, "app.kubernetes.io/name": "sentry"}
    requests: list[tuple[str, str | None]] = []
    (tmp_path / "token").write_text("secrettoken\n")
    monkeypatch.setitem(VARIABLES, "RELAY_TOKEN_FILE", str(tmp_path / "token"))
    runners, pods = [], []
    for name, labels in (("relay", ours), ("sentry", foreign)):

        async def status(request: web.Request, name: str = name) -> web.Response:
            requests.append((name, request.headers.get("Authorization")))
            return web.Response(status=404)

        program = web.Application()
        program.router.add_get("/status", status)
        runners.append(web.AppRunner(program, shutdown_timeout=0))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        port = {"name": "http", "containerPort": runners[-1].addresses[0][1]}
        metadata = {"name": name, "uid": f"uid-{name}", "labels": labels, "resourceVersion": "1"}
        spec = {"nodeName": name, "containers": [{"ports": [port]}]}
        pods.append({"metadata": metadata, "spec": spec, "status": {"phase": "Running", "podIP": "127.0.0.1"}})
    api.documents["/api/v1/namespaces/rtp/pods"] = make_list(*pods)
    app = await make_app()
    await app.start("127.0.0.1", 0)
    await until(lambda: len(requests) >= 2)
    assert set(requests) == {("relay", "Bearer secrettoken")}
    assert app.reconciler.counts.relays == 1, "a foreign pod is not counted"
    assert not [path for _, path, _ in api.requests if "/pods/sentry" in path], "and not annotated"
    assert [path for _, path, _ in api.requests if "/pods/relay" in path]
    await app.stop()
    for runner in runners:
        await runner.cleanup()


async def test_the_page_needs_the_relays_token_and_metrics_and_probes_do_not(api: ApiStandIn, tmp_path: Path) -> None:
    assert api.port
    token = tmp_path / "token"
    token.write_text("open-sesame")
    settings = read_settings({**VARIABLES, "RELAY_TOKEN_FILE": str(token)})
    app = App(await connect(), OURS, settings)
    await app.start("127.0.0.1", 0)
    base = f"http://127.0.0.1:{app.http_port}"
    async with aiohttp.ClientSession() as session:
        for path, status in (("/", 401), ("/static/pools.js", 401), ("/metrics", 200), ("/health", 200)):
            async with session.get(base + path) as response:
                assert (path, response.status) == (path, status)
        for path in ("/", "/static/base.css", "/static/pools.js", "/static/pools.css"):
            async with session.get(base + path, headers={"Authorization": "Bearer open-sesame"}) as response:
                assert (path, response.status) == (path, 200)
    await app.stop()


async def test_the_page_shows_the_pools_of_the_cluster(api: ApiStandIn, app: App) -> None:
    await app.start("127.0.0.1", 0)
    app.watch_pools(lambda: None)
    await api.put_pool("default")
    url = f"http://127.0.0.1:{app.http_port}/"

    async def is_shown() -> bool:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
            return "default</h2>" in await response.text()

    await until(is_shown)
