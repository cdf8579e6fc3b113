"""HTTP of echo, relay and operator: health, readiness, metrics, the token, and the listener."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import BasicAuth, web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPEN_PATHS = frozenset({"/health", "/healthz", "/ready"})
SHUTDOWN_SECONDS = 2.0
REALM = "rtp-pool: any user name, the token as password"
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
    return web.Response(text=json.dumps(value, indent=1) + "\n", status=status, content_type="application/json")


def make_app(
    registry: CollectorRegistry,
    healthy: Callable[[], Health],
    ready: Callable[[], Health],
    routes: Mapping[str, Handler] | None = None,
    token_file: Path | None = None,
) -> web.Application:
    """Serve `/health`, `/ready`, `/metrics` and GET `routes`. A token file protects all paths but `OPEN_PATHS`."""
    app = web.Application(middlewares=[_token_middleware(token_file)] if token_file else [])
    app.router.add_get("/health", _health_handler("healthy", healthy))
    app.router.add_get("/ready", _health_handler("ready", ready))
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    for path, handler in (routes or {}).items():
        app.router.add_get(path, handler)
    return app


def _health_handler(name: str, health_now: Callable[[], Health]) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        health = health_now()
        body = {name: health.ok, "problems": list(health.problems)}
        if health.findings:
            body["findings"] = list(health.findings)
        return json_response(body, 200 if health.ok else 503)

    return answer


def _token_middleware(token_file: Path) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        # Read for each request: a mounted Secret may be rotated while the process runs.
        try:
            expected = await asyncio.to_thread(token_file.read_text, encoding="utf-8")
        except OSError as error:
            return json_response({"error": f"HTTP_TOKEN_FILE can't be read: {error.strerror}"}, 503)
        given = _given_token(request.headers.get("Authorization", ""))
        if not expected.strip() or not hmac.compare_digest(given.encode(), expected.strip().encode()):
            answer = json_response({"error": HOW_TO_AUTHENTICATE}, 401)
            # Makes a browser ask for the token.
            answer.headers["WWW-Authenticate"] = f'Basic realm="{REALM}", charset="UTF-8"'
            return answer
        return await handler(request)

    return check


def _given_token(authorization: str) -> str:
    """Return the token of `Bearer` (RFC 6750), or the password of `Basic` (RFC 7617), which browsers send."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    try:
        return BasicAuth.decode(authorization, encoding="utf-8").password if scheme.lower() == "basic" else ""
    except ValueError:
        return ""


async def listen(
    app: web.Application,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    shutdown_seconds: float = SHUTDOWN_SECONDS,
) -> tuple[web.AppRunner, int]:
    """Serve `app`, over TLS when `tls` is given.

    Returns the runner and the port, which is new when `port` is 0. The runner's `cleanup()` waits up to
    `shutdown_seconds` for requests in progress.

    Raises:
        ListenError: the address can't be bound.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except OSError as error:
        await runner.cleanup()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(
            f"HTTP_PORT={port}: can't listen on {host} port {port} ({reason}); accepted is a free port. "
            "Find what holds it with: ss -ltnp"
        ) from error
    return runner, int(runner.addresses[0][1])
