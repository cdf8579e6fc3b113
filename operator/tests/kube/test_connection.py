"""The connection to the API server: the proxy of the environment, and nothing else of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from api_stand_in import ApiStandIn

from rtppool_operator.kube.api_server import connect, find_proxy

# Of a documentation network (RFC 5737), so nothing answers there.
ELSEWHERE = "192.0.2.1"
PATH = "/api/v1/nodes"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def api() -> AsyncIterator[ApiStandIn]:
    stand_in = ApiStandIn(documents={PATH: {"items": []}})
    await stand_in.begin()
    yield stand_in
    await stand_in.end()


def use_kubeconfig(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))


async def test_requests_take_the_proxy_that_the_environment_names(
    api: ApiStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_kubeconfig(monkeypatch, api.kubeconfig(tmp_path, f"http://{ELSEWHERE}"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{api.port}")
    server = await connect()
    assert await server.read("list nodes", PATH) == {"items": []}
    await server.close()
    assert api.count("GET", PATH) == 1


async def test_no_request_carries_a_password_of_netrc(
    api: ApiStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / ".netrc"
    credentials.write_text("machine 127.0.0.1 login stranger password secret\n")
    monkeypatch.setenv("NETRC", str(credentials))
    seen: list[str] = []

    def note(request: web.Request) -> None:
        seen.append(request.headers["Authorization"])

    api.instead = note
    use_kubeconfig(monkeypatch, api.kubeconfig(tmp_path))
    server = await connect()
    await server.read("list nodes", PATH)
    await server.close()
    assert seen == ["Bearer t"]


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, None),
        ({"https_proxy": "http://proxy:3128", "no_proxy": ELSEWHERE}, None),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "192.0.2.2"}, "http://proxy:3128"),
    ],
)
def test_a_proxy_is_that_of_the_scheme_unless_the_host_is_excepted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(f"https://{ELSEWHERE}:6443") == proxy
