"""HTTP of echo, relay and operator: health, readiness, metrics, the token, and the listener."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from rtppool_core.net.http_listener import BoundedSite
from rtppool_core.net.listeners import open_listeners

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
    listeners = open_listeners(addresses, port)
    runner = await serve(app, listeners, tls, shutdown_seconds, bounded=bounded)
    return runner, int(listeners[0].getsockname()[1])


async def serve(
    app: web.Application,
    listeners: Sequence[socket.socket],
    tls: Callable[[], ssl.SSLContext] | None = None,
    shutdown_seconds: float = SHUTDOWN_SECONDS,
    *,
    bounded: bool = True,
) -> web.AppRunner:
    """Serve `app` as `listen` does, on sockets that listen already. The runner's `cleanup()` closes them."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    if bounded:
        await BoundedSite(runner, listeners, tls).start()
    else:
        for listener in listeners:
            await web.SockSite(runner, listener, ssl_context=tls() if tls else None).start()
    return runner
