from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import random
import resource
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from rtppool_core.net import http_listener
from rtppool_core.net.http_endpoints import Health, json_response, listen, make_app
from rtppool_core.net.http_listener import (
    MAX_ACCEPTS_A_TURN,
    MAX_CONNECTIONS,
    MIN_CONNECTIONS,
    RESERVED_DESCRIPTORS,
    BoundedSite,
    max_connections,
)
from rtppool_core.net.listeners import any_address
from rtppool_testing.descriptors import no_free_descriptor
from rtppool_testing.waiting import until

IDLE = 1000
LARGE = b"a" * 20_000_000


class Site:
    """A served application on loopback, and the clients that reach it through plain sockets."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[socket.socket] = []

    async def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        self.clients.append(client)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", self.port))
        if sent:
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(client, sent)
        return client

    async def connect_all(self, number: int, sent: bytes = b"") -> list[socket.socket]:
        return [await self.connect(sent) for _ in range(number)]

    async def ask(self, path: str = "/health", client: socket.socket | None = None, headers: bytes = b"") -> bytes:
        """Return the status line, empty when the connection was closed without an answer."""
        client = client or await self.connect()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path.encode(), headers))
        return (await loop.sock_recv(client, 65536)).partition(b"\r\n")[0]

    def open_clients(self) -> int:
        return sum(not is_closed(client) for client in self.clients)


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed the connection, after all its answers were read."""
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


async def large(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=LARGE)


async def forever(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def figures(_request: web.Request) -> web.StreamResponse:
    return json_response({"calls": 1})


@contextlib.asynccontextmanager
async def serving(token: Callable[[], str] | None) -> AsyncIterator[Site]:
    routes = {"/large": large, "/forever": forever, "/calls": figures}
    app = make_app(CollectorRegistry(), Health, Health, routes, token)
    runner, port = await listen(app, "127.0.0.1", 0, shutdown_seconds=0.05)
    site = Site(port)
    try:
        yield site
    finally:
        for client in site.clients:
            client.close()
        await runner.cleanup()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(lambda: "open-sesame") as site:
        yield site


@pytest.fixture
async def open_site() -> AsyncIterator[Site]:
    async with serving(None) as site:
        yield site


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(64, MIN_CONNECTIONS), (256, 32), (1024, MAX_CONNECTIONS), (resource.RLIM_INFINITY, MAX_CONNECTIONS)],
)
def test_the_connections_are_a_part_of_the_descriptors(limit: int, expected: int) -> None:
    assert max_connections(limit) == expected


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nX: " + b"a" * 4000])
async def test_idle_connections_have_a_bound_and_never_shut_out_a_request(site: Site, sent: bytes) -> None:
    before = open_descriptors()
    for _ in range(20):
        await site.connect_all(IDLE // 20, sent)
        assert await site.ask() == b"HTTP/1.1 200 OK"
    await until(lambda: site.open_clients() <= MAX_CONNECTIONS)
    assert open_descriptors() - before - len(site.clients) <= MAX_CONNECTIONS


async def test_the_idle_connection_that_never_asked_is_closed_first(site: Site) -> None:
    asked = await site.connect()
    await site.ask(client=asked)
    strangers = await site.connect_all(MAX_CONNECTIONS + 10)
    await until(lambda: is_closed(strangers[10]))
    assert not is_closed(strangers[11])
    assert await site.ask(client=asked) == b"HTTP/1.1 200 OK"


async def test_clients_that_read_no_answer_never_shut_out_a_request(open_site: Site) -> None:
    for client in await open_site.connect_all(2 * MAX_CONNECTIONS, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert await open_site.ask() == b"HTTP/1.1 200 OK"


async def test_requests_that_never_end_never_shut_out_a_request(open_site: Site) -> None:
    await open_site.connect_all(2 * MAX_CONNECTIONS, b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await open_site.ask() == b"HTTP/1.1 200 OK"


async def test_pipelined_requests_are_not_read_without_end(open_site: Site) -> None:
    client = await open_site.connect()
    requests = b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(LARGE):
            async with asyncio.timeout(0.5):
                await asyncio.get_running_loop().sock_sendall(client, requests)
            sent += len(requests)
    assert sent < len(LARGE)


async def test_a_turn_of_the_loop_accepts_few_connections() -> None:
    runner, port = await listen(make_app(CollectorRegistry(), Health, Health), "127.0.0.1", 0)
    (site,) = runner.sites
    assert isinstance(site, BoundedSite)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(4 * MAX_ACCEPTS_A_TURN)]
    accepted = [0]
    while accepted[-1] < len(clients):
        await asyncio.sleep(0)
        accepted.append(len(site._connections))
    for client in clients:
        client.close()
    await runner.cleanup()
    assert max(after - before for before, after in itertools.pairwise(accepted)) == MAX_ACCEPTS_A_TURN


async def test_a_flood_is_one_line_of_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.connect_all(IDLE)
    await until(lambda: bool(caplog.messages))
    await site.connect_all(IDLE)
    assert caplog.messages == ["HTTP connections were closed, so that new ones are accepted"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health HTTP/1.1\r\nX: ",
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n",
    ],
)
async def test_a_connection_that_waits_longer_than_its_time_is_closed(
    site: Site, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_listener, "MAX_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(http_listener, "MAX_LINGER_SECONDS", 0.2)
    client = await site.connect(sent)
    await until(lambda: is_closed(client))


async def test_a_header_that_drips_is_closed_at_the_same_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "MAX_IDLE_SECONDS", 0.3)
    client = await site.connect(b"GET /health HTTP/1.1\r\nX: ")

    def drip() -> bool:
        with contextlib.suppress(ConnectionError):
            client.send(b"a")
        return is_closed(client)

    await until(drip)


@pytest.mark.parametrize("path", [b"/large", b"/forever"])
async def test_a_request_that_lasts_too_long_is_closed(
    open_site: Site, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    monkeypatch.setattr(http_listener, "MAX_REQUEST_SECONDS", 0.3)
    before = open_descriptors()
    client = await open_site.connect(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    await until(lambda: open_descriptors() == before + 2)
    await until(lambda: open_descriptors() == before + 1)
    client.close()


async def test_a_body_is_not_read_to_its_end(site: Site) -> None:
    client = await site.connect()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    chunk = b"a" * 65536
    with contextlib.suppress(ConnectionError):
        for _ in range(10_000_000 // len(chunk)):
            await loop.sock_sendall(client, chunk)
            await asyncio.sleep(0.05)
    assert is_closed(client)


async def test_http_answers_without_a_free_descriptor_in_the_process(
    open_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [socket.socket() for _ in range(10 * RESERVED_DESCRIPTORS)]
    open_site.clients += clients
    loop = asyncio.get_running_loop()
    with no_free_descriptor():
        for client in clients:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", open_site.port))
            assert await open_site.ask(client=client) == b"HTTP/1.1 200 OK"
    # A sweep reports the connections that made room, where one falls into this test.
    assert set(caplog.messages) <= {"HTTP connections were closed, so that new ones are accepted"}


async def test_idle_connections_without_a_free_descriptor_in_the_process_never_shut_out_a_request(
    open_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [socket.socket() for _ in range(10 * RESERVED_DESCRIPTORS)]
    open_site.clients += clients
    loop = asyncio.get_running_loop()
    with no_free_descriptor():
        for client in clients:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", open_site.port))
        assert await open_site.ask(client=clients[-1]) == b"HTTP/1.1 200 OK"
    assert not [line for line in caplog.messages if "out of system resource" in line]


async def test_the_reserve_survives_a_neighbour_that_takes_every_descriptor(open_site: Site) -> None:
    clients = [socket.socket() for _ in range(10 * RESERVED_DESCRIPTORS)]
    open_site.clients += clients
    loop = asyncio.get_running_loop()
    taken: list[int] = []
    with no_free_descriptor():
        for client in clients:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", open_site.port))
            assert await open_site.ask(client=client, headers=b"Connection: close\r\n") == b"HTTP/1.1 200 OK"
            with contextlib.suppress(OSError):
                taken.append(os.dup(0))
    for descriptor in taken:
        os.close(descriptor)
    assert len(taken) <= 1


class FailingListener:
    """A listening socket whose next calls of accept fail."""

    def __init__(self, listener: socket.socket, number: int, failures: int) -> None:
        self._listener, self._number, self.failures = listener, number, failures

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._listener.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._listener, name)


@pytest.mark.parametrize("failures", [1, 20])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_an_accept_that_fails_is_repeated_until_it_works(
    monkeypatch: pytest.MonkeyPatch, number: int, failures: int
) -> None:
    monkeypatch.setattr(http_listener, "RETRY_ACCEPT_SECONDS", 0.01)
    runner, port = await listen(make_app(CollectorRegistry(), Health, Health), "127.0.0.1", 0)
    (served,) = runner.sites
    assert isinstance(served, BoundedSite)
    failing: Any = FailingListener(served._listeners[0], number, failures)
    monkeypatch.setattr(served, "_listeners", (failing,))
    loop = asyncio.get_running_loop()
    loop.remove_reader(failing)
    loop.add_reader(failing, served._accept, failing)
    site = Site(port)
    assert await site.ask() == b"HTTP/1.1 200 OK"
    for client in site.clients:
        client.close()
    await runner.cleanup()


MALFORMED = [
    b"\x16\x03\x01\x00\xff\r\n\r\n",
    b"G@T / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /health HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % number for number in range(5000)) + b"\r\n",
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", MALFORMED)
async def test_a_malformed_request_is_400_and_one_line_without_a_traceback(
    site: Site, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    client = await site.connect(request_bytes)
    answer = await asyncio.get_running_loop().sock_recv(client, 65536)
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    (record,) = caplog.records
    assert record.message == "a malformed HTTP request was refused"
    assert record.exc_info is None


async def test_headers_that_are_large_together_are_431(open_site: Site) -> None:
    headers = b"".join(b"X%d: %s\r\n" % (number, b"a" * 4000) for number in range(5))
    assert (await open_site.ask(headers=headers)).startswith(b"HTTP/1.1 431")


AUTHORIZATIONS = [
    b"Bearer \xff\xfe",
    b"Bearer \xed\xa0\x80",
    b"Bearer \xc3\xa9",
    b"Basic !!!",
    b"Basic dTr/",
    b"Basic YWJj",
    b"Basic \xff",
    b"\xff",
    b"Bearer",
    b"",
]


@pytest.mark.parametrize("authorization", AUTHORIZATIONS)
async def test_credentials_of_any_bytes_are_401(
    site: Site, caplog: pytest.LogCaptureFixture, authorization: bytes
) -> None:
    assert await site.ask("/calls", headers=b"Authorization: %s\r\n" % authorization) == b"HTTP/1.1 401 Unauthorized"
    assert caplog.messages == []


async def test_random_bytes_anywhere_in_a_request_are_never_500_or_a_traceback(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(12)
    whole = (
        b"GET /calls?name=1&x%ff HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer open-sesame\r\n"
        b"Accept: text/html;q=0.5\r\n"
        b"Content-Type: text/plain; charset=x\r\nAccept-Encoding: gzip\r\nExpect: 100-continue\r\nCookie: a=b\r\n"
        b"Range: bytes=0-1\r\nIf-Modified-Since: x\r\nContent-Length: 2\r\n\r\nab"
    )
    for _ in range(1000):
        mutated = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        client = await site.connect(bytes(mutated))
        if chance.random() < 0.5:
            client.close()
            continue
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.05):
                answer = await asyncio.get_running_loop().sock_recv(client, 65536)
                assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), bytes(mutated)
    assert [record for record in caplog.records if record.exc_info or record.levelno > logging.WARNING] == []


async def test_a_program_that_listens_on_any_address_is_reached_over_ipv4_and_ipv6() -> None:
    runner, port = await listen(make_app(CollectorRegistry(), Health, Health), any_address(), 0)
    try:
        for host in ("127.0.0.1", *(["::1"] if any_address() == "::" else [])):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.0 200")
            writer.close()
    finally:
        await runner.cleanup()


def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: int, *_arguments: object) -> None:
        raise OSError(97, "Address family not supported by protocol", family)

    monkeypatch.setattr(socket, "socket", refuse)
    assert any_address() == "0.0.0.0"


async def test_json_is_not_stored_and_not_guessed_to_be_another_type(site: Site) -> None:
    client = await site.connect(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.get_running_loop().sock_recv(client, 65536)
    assert b"\r\nCache-Control: no-store\r\n" in answer
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer


async def test_the_connections_to_all_addresses_have_one_bound_together() -> None:
    before = open_descriptors()
    runner, port = await listen(make_app(CollectorRegistry(), Health, Health), ["127.0.0.1", "127.0.0.2"], 0)
    site = Site(port)
    try:
        for address in ("127.0.0.1", "127.0.0.2"):
            for _ in range(MAX_CONNECTIONS):
                site.clients.append(await asyncio.to_thread(socket.create_connection, (address, port)))
                site.clients[-1].setblocking(False)
        await until(lambda: site.open_clients() <= MAX_CONNECTIONS, "one bound")
        assert open_descriptors() - before <= len(site.clients) + MAX_CONNECTIONS + RESERVED_DESCRIPTORS + 2
        assert await site.ask() == b"HTTP/1.1 200 OK"
    finally:
        for client in site.clients:
            client.close()
        await runner.cleanup()
    assert open_descriptors() == before
