"""HTTP of echo, relay and operator: health, readiness, metrics, the token, and the listener."""

from __future__ import annotations

import base64
import errno
import hmac
import ipaddress
import json
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from rtppool_core.net.http_listener import BACKLOG, BoundedSite
from rtppool_core.net.udp import family_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPEN_PATHS = frozenset({"/health", "/healthz", "/ready"})
MAX_HEADER_BYTES = 16 * 1024
SHUTDOWN_SECONDS = 2.0
REALM = "rtp-pool: any user name, the token as password"
JSON_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
HOW_TO_AUTHENTICATE = (
    "a token is required: Authorization: Bearer <content of HTTP_TOKEN_FILE>; "
    "in a browser any user name, and the token as password"
)


class ListenError(Exception):
    """The HTTP listener could not bind. The message names the setting, its value and the remedy."""


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to `/health` or `/ready`: positive when `problems` is empty.

    `findings` are sentences for an administrator, which do not change the answer.
    """

    problems: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def json_response(value: Any, status: int = 200) -> web.Response:
    """Return a JSON response with a final newline, so that a terminal shows it well."""
    response = web.Response(text=json.dumps(value, indent=1) + "\n", status=status, content_type="application/json")
    # The figures of a call are for the client that asked, and a browser must not guess another type.
    response.headers.update(JSON_HEADERS)
    return response


def make_app(
    registry: CollectorRegistry,
    healthy: Callable[[], Health],
    ready: Callable[[], Health],
    routes: Mapping[str, Handler] | None = None,
    token: Callable[[], str] | None = None,
    open_paths: frozenset[str] = OPEN_PATHS,
) -> web.Application:
    """Serve `/health`, `/ready`, `/metrics` and GET `routes`. A token protects all paths but `open_paths`.

    `token` returns the token in force, or raises OSError. An empty token opens nothing.
    """
    app = web.Application(middlewares=[_bound_headers, *([_token_middleware(token, open_paths)] if token else [])])
    app.router.add_get("/health", health_handler("healthy", healthy))
    app.router.add_get("/ready", health_handler("ready", ready))
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    for path, handler in (routes or {}).items():
        app.router.add_get(path, handler)
    return app


def health_handler(name: str, health_now: Callable[[], Health]) -> Handler:
    """Return a handler that answers 200 or 503 with the problems; `name` is the key of the verdict."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        health = health_now()
        body = {name: health.ok, "problems": list(health.problems)}
        if health.findings:
            body["findings"] = list(health.findings)
        return json_response(body, 200 if health.ok else 503)

    return answer


@web.middleware
async def _bound_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reject a request with so large a header that reading it would hold the program up."""
    if sum(len(name) + len(value) for name, value in request.raw_headers) > MAX_HEADER_BYTES:
        return json_response({"error": f"the header has more than {MAX_HEADER_BYTES} bytes"}, 431)
    return await handler(request)


def _token_middleware(token: Callable[[], str], open_paths: frozenset[str]) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in open_paths:
            return await handler(request)
        try:
            expected = token().encode()
        except OSError as error:
            return json_response({"error": f"HTTP_TOKEN_FILE can't be read: {error.strerror}"}, 503)
        given = _given_token(request.headers.get("Authorization", ""))
        if not expected or not hmac.compare_digest(given, expected):
            answer = json_response({"error": HOW_TO_AUTHENTICATE}, 401)
            # Makes a browser ask for the token.
            answer.headers["WWW-Authenticate"] = f'Basic realm="{REALM}", charset="UTF-8"'
            return answer
        return await handler(request)

    return check


def _given_token(authorization: str) -> bytes:
    """Return the token of `Bearer` (RFC 6750), or the password of `Basic` (RFC 7617), which browsers send.

    aiohttp decodes bytes of the header that are not UTF-8 to surrogates.
    """
    scheme, _, given = authorization.partition(" ")
    credentials = given.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "bearer":
        return credentials
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2] if scheme.lower() == "basic" else b""
    except ValueError:
        return b""


def any_address() -> str:
    """Return `::`, which receives IPv4 connections as well, or 0.0.0.0 on a machine without IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return "::"


async def listen(
    app: web.Application,
    addresses: str | Sequence[str],
    port: int,
    tls: Callable[[], ssl.SSLContext] | None = None,
    shutdown_seconds: float = SHUTDOWN_SECONDS,
    *,
    bounded: bool = True,
) -> tuple[web.AppRunner, int]:
    """Serve `app` on one port of all addresses, over TLS when `tls` returns a context for each connection.

    The address `::` receives IPv4 connections as well, unless the list has an IPv4 address. Returns the runner and the
    port, which is new when `port` is 0. The runner's `cleanup()` waits up to `shutdown_seconds` for requests in
    progress. `bounded` is False for a stand-in without the bounds of `BoundedSite`.

    Raises:
        ListenError: an address can't be bound.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    try:
        listeners = _listening_sockets((addresses,) if isinstance(addresses, str) else addresses, port)
    except ListenError:
        await runner.cleanup()
        raise
    if bounded:
        await BoundedSite(runner, listeners, tls).start()
    else:
        for listener in listeners:
            await web.SockSite(runner, listener, ssl_context=tls() if tls else None).start()
    return runner, int(listeners[0].getsockname()[1])


def distinct_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses without repetitions, and without those that 0.0.0.0 or `::` of the list receives."""
    parsed = dict.fromkeys(ipaddress.ip_address(address) for address in addresses)
    unspecified = {address.version for address in parsed if address.is_unspecified}
    return tuple(str(each) for each in parsed if each.is_unspecified or each.version not in unspecified)


def _listening_sockets(addresses: Iterable[str], port: int) -> list[socket.socket]:
    """Return a listening socket for each address. With port 0 all get the port of the first one."""
    distinct = distinct_addresses(addresses)
    has_ipv4 = any(family_of(address) == socket.AF_INET for address in distinct)
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        for address in distinct:
            try:
                listener = _listening_socket(address, port, ipv6_only=has_ipv4)
            except OSError as error:
                raise _listen_error(address, port, error) from error
            opened.callback(listener.close)
            listeners.append(listener)
            port = int(listener.getsockname()[1])
        opened.pop_all()
    return listeners


def _listening_socket(address: str, port: int, *, ipv6_only: bool) -> socket.socket:
    listener = socket.socket(family_of(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ipv6_only)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_error(address: str, port: int, error: OSError) -> ListenError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    where = f"can't listen on {address} port {port} ({reason})"
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenError(f"HTTP_BIND={address}: {where}; accepted are addresses of this machine. See: ip address")
    in_use = "; accepted is a free port. Find what holds it with: ss -ltnp"
    return ListenError(f"HTTP_PORT={port}: {where}{in_use if error.errno == errno.EADDRINUSE else ''}")
