from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from rtppool_core.net.http_endpoints import Health, json_response, listen, make_app
from rtppool_core.net.listeners import ListenError, distinct_addresses
from rtppool_core.process.secret_file import SecretFile
from rtppool_testing.descriptors import no_free_descriptor
from rtppool_testing.ports import free_port

Ask = Callable[..., Awaitable[tuple[int, str]]]


@asynccontextmanager
async def serving(**arguments: Any) -> AsyncIterator[Ask]:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)

    async def figures(_request: web.Request) -> web.StreamResponse:
        return json_response({"calls": 1})

    verdicts = {"healthy": Health, "ready": Health, **arguments}
    app = make_app(registry, routes={"/calls": figures}, **verdicts)
    runner, port = await listen(app, "127.0.0.1", 0)

    async def ask(path: str, **headers: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response.status, await response.text()

    try:
        yield ask
    finally:
        await runner.cleanup()


async def test_all_paths_answer_without_a_token_file() -> None:
    async with serving() as ask:
        assert await ask("/health") == (200, '{\n "healthy": true,\n "problems": []\n}\n')
        assert (await ask("/ready"))[0] == 200
        assert await ask("/calls") == (200, '{\n "calls": 1\n}\n')
        assert "things_total 3.0" in (await ask("/metrics"))[1]
        assert (await ask("/nothing"))[0] == 404


async def test_what_should_be_seen_to_is_said_and_changes_nothing() -> None:
    async with serving(ready=lambda: Health(findings=("rmem_max is low",))) as ask:
        assert await ask("/ready") == (
            200,
            '{\n "ready": true,\n "problems": [],\n "findings": [\n  "rmem_max is low"\n ]\n}\n',
        )


async def test_what_is_wrong_is_said_with_503() -> None:
    async with serving(ready=lambda: Health(("no port binds", "draining"))) as ask:
        status, body = await ask("/ready")
        assert status == 503
        assert "no port binds" in body
        assert "draining" in body
        assert (await ask("/health"))[0] == 200


def write(file: Path, content: str | None) -> None:
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    write(file, "open-sesame\n")
    return file


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer open-sesame-2"}],
)
async def test_with_a_token_file_all_but_health_and_ready_need_the_token(
    token_file: Path, headers: dict[str, str]
) -> None:
    async with serving(token=SecretFile("HTTP_TOKEN_FILE", token_file).value) as ask:
        for path in ("/metrics", "/calls", "/nothing"):
            status, body = await ask(path, **headers)
            assert status == 401
            assert "open-sesame" not in body
        for path in ("/health", "/ready"):
            assert (await ask(path, **headers))[0] == 200


async def test_the_token_opens_and_a_rotated_one_counts_at_once(token_file: Path) -> None:
    async with serving(token=SecretFile("HTTP_TOKEN_FILE", token_file).value) as ask:
        assert (await ask("/calls", Authorization="Bearer open-sesame"))[0] == 200
        write(token_file, "another")
        assert (await ask("/calls", Authorization="Bearer open-sesame"))[0] == 401
        assert (await ask("/calls", Authorization="Bearer another"))[0] == 200


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_a_browser_is_asked_and_gives_the_token_as_password_of_any_user(token_file: Path) -> None:
    async with serving(token=SecretFile("HTTP_TOKEN_FILE", token_file).value) as ask:
        for user in ("", "me", "ü"):
            assert (await ask("/calls", Authorization=basic(user, "open-sesame")))[0] == 200
        for given in (basic("open-sesame", ""), basic("me", "wrong"), "Basic", "Basic !", "basic " + "=" * 9):
            assert (await ask("/calls", Authorization=given))[0] == 401


async def test_the_refusal_says_how_and_makes_a_browser_ask(token_file: Path) -> None:
    app = make_app(CollectorRegistry(), Health, Health, {}, SecretFile("HTTP_TOKEN_FILE", token_file).value)
    async with TestClient(TestServer(app)) as client, client.get("/metrics") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith('Basic realm="')
        assert "token as password" in await response.text()


@pytest.mark.parametrize(("content", "status"), [("", 401), (" \n", 401), (None, 503)])
async def test_an_empty_or_missing_token_file_opens_nothing(token_file: Path, content: str | None, status: int) -> None:
    write(token_file, content)
    async with serving(token=SecretFile("HTTP_TOKEN_FILE", token_file).value) as ask:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer open-sesame"}):
            assert (await ask("/calls", **headers))[0] == status


async def test_a_missing_descriptor_is_an_error_that_asks_for_no_other_port() -> None:
    app = make_app(CollectorRegistry(), Health, Health)
    with no_free_descriptor(), pytest.raises(ListenError) as caught:
        await listen(app, "127.0.0.1", 1)
    assert str(caught.value) == "HTTP_PORT=1: can't listen on 127.0.0.1 port 1 (Too many open files)"


async def test_a_busy_port_is_an_error_that_says_which_and_how_to_find_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        app = make_app(CollectorRegistry(), Health, Health)
        with pytest.raises(ListenError) as caught:
            await listen(app, "127.0.0.1", port)
    assert str(caught.value) == (
        f"HTTP_PORT={port}: can't listen on 127.0.0.1 port {port} (Address already in use); accepted is a free port. "
        "Find what holds it with: ss -ltnp"
    )


async def test_an_answer_that_never_ends_keeps_no_service_from_ending() -> None:
    asked = asyncio.Event()

    async def endless(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(3600)
        raise AssertionError

    app = web.Application()
    app.add_routes([web.get("/endless", endless)])
    runner, port = await listen(app, "127.0.0.1", 0, shutdown_seconds=0.05)
    async with aiohttp.ClientSession() as session:
        request = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/endless"))
        await asked.wait()
        await runner.cleanup()
        with pytest.raises(aiohttp.ClientError):
            await request


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        (["127.0.0.1", "127.0.0.1"], ("127.0.0.1",)),
        (["0.0.0.0", "127.0.0.1", "::1"], ("0.0.0.0", "::1")),
        (["::1", "0:0::1", "::"], ("::",)),
        (["::", "0.0.0.0"], ("::", "0.0.0.0")),
    ],
)
def test_an_address_that_another_one_receives_is_not_bound_again(listed: list[str], kept: tuple[str, ...]) -> None:
    assert distinct_addresses(listed) == kept


async def _status(host: str, port: int) -> int | None:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/health") as response:
            return response.status
    except aiohttp.ClientConnectorError:
        return None


@pytest.mark.parametrize(
    ("addresses", "answering"),
    [
        (["127.0.0.1", "::1"], {"127.0.0.1", "[::1]"}),
        (["127.0.0.2", "127.0.0.1"], {"127.0.0.1", "127.0.0.2"}),
        (["::", "127.0.0.1"], {"127.0.0.1", "[::1]"}),
        (["::", "0.0.0.0"], {"127.0.0.1", "127.0.0.2", "[::1]"}),
        (["::"], {"127.0.0.1", "127.0.0.2", "[::1]"}),
    ],
)
async def test_all_addresses_of_the_list_answer_on_one_port_and_no_other_does(
    addresses: list[str], answering: set[str]
) -> None:
    runner, port = await listen(make_app(CollectorRegistry(), Health, Health), addresses, 0)
    hosts = ("127.0.0.1", "127.0.0.2", "[::1]")
    assert {host for host in hosts if await _status(host, port) == 200} == answering
    await runner.cleanup()
    assert [await _status(host, port) for host in hosts] == [None, None, None]


async def test_a_second_address_that_is_not_of_this_machine_is_an_error_and_releases_the_first() -> None:
    app, port = make_app(CollectorRegistry(), Health, Health), free_port()
    with pytest.raises(ListenError) as caught:
        await listen(app, ["127.0.0.1", "192.0.2.1"], port)
    assert str(caught.value) == (
        f"HTTP_BIND=192.0.2.1: can't listen on 192.0.2.1 port {port} (Cannot assign requested address); accepted are "
        "addresses of this machine. See: ip address"
    )
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
