"""A proxy between operator and API server: plain HTTP in, TLS out, with faults by verb and path."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.faults.operator.api.api_server import ApiServer

CHUNK_BYTES = 1 << 16
MAX_BODY = 16 << 20
BAD_GATEWAY = 502
# Headers of one connection (RFC 9110 7.6.1), or set anew by the proxy.
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}
REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass(slots=True)
class Refusal:
    """A fault that answers `status` to the next `times` requests of these verbs and this path (None: all)."""

    status: int
    verbs: frozenset[str]
    path: str = ""
    times: int | None = None
    met: int = 0

    def fits(self, verb: str, path: str) -> bool:
        """Return whether this request is refused."""
        return verb in self.verbs and re.search(self.path, path) is not None and self.times != 0

    def count(self) -> None:
        """Count a refused request."""
        self.met += 1
        if self.times is not None:
            self.times -= 1


@dataclass(slots=True)
class Faults:
    """The active faults. With `silent_watches`, watches stay open without a byte; verbs in `hang` get no answer."""

    refusals: list[Refusal] = field(default_factory=list)
    silent_watches: bool = False
    hang: frozenset[str] = frozenset()

    def clear(self) -> None:
        """End all faults. A watch that is silent stays so until its connection ends."""
        self.refusals.clear()
        self.silent_watches = False
        self.hang = frozenset()


class FaultyProxy:
    """A proxy of its own for each operator that a fault cuts off alone."""

    def __init__(self, server: ApiServer) -> None:
        self.faults = Faults()
        self.requests: dict[str, int] = {}
        self._server = server
        self._port = 0
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._watches: set[web.StreamResponse] = set()

    @property
    def url(self) -> str:
        """The server URL for a kubeconfig."""
        return f"http://{LOOPBACK}:{self._port}"

    async def start(self) -> None:
        """Start listening."""
        connector = aiohttp.TCPConnector(ssl=self._server.trust(), limit=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """End all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def send_error(self, code: int) -> None:
        """Send an ERROR event on every open watch."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "by the test"}
        line = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
        for watch in list(self._watches):
            # A client that has just gone watches anew.
            with contextlib.suppress(ConnectionError):
                await watch.write(line)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        verb = verb_of(request.method, request.path, request.query)
        self.requests[verb] = self.requests.get(verb, 0) + 1
        if verb in self.faults.hang or (verb == "watch" and self.faults.silent_watches):
            await asyncio.Event().wait()
        for refusal in self.faults.refusals:
            if refusal.fits(verb, request.path):
                refusal.count()
                return _refused(refusal.status)
        return await self._forward(request, watch=verb == "watch")

    async def _forward(self, request: web.Request, *, watch: bool) -> web.StreamResponse:
        if self._session is None:
            raise LabError("the proxy was not started")
        body = await request.read()
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                f"{self._server.url}{request.path_qs}",
                data=body or None,
                headers=_end_to_end(request.headers),
                timeout=aiohttp.ClientTimeout(total=None),
                allow_redirects=False,
                # The API server reads a body without a type as JSON; aiohttp would declare it an octet stream.
                skip_auto_headers=("Content-Type",),
            ) as answer:
                response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
                await response.prepare(request)
                if watch:
                    self._watches.add(response)
                async for chunk in answer.content.iter_any():
                    if watch and self.faults.silent_watches:
                        # This chunk is lost, so later bytes of the connection cannot be parsed either.
                        await asyncio.Event().wait()
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError):
            # The server's connection broke, so the client's connection breaks as well.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=BAD_GATEWAY)
        finally:
            if response is not None:
                self._watches.discard(response)


def verb_of(method: str, path: str, query: Mapping[str, str]) -> str:
    """Return RBAC's verb for a request."""
    if method != "GET":
        return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, method.lower())
    if query.get("watch") in {"true", "1"}:
        return "watch"
    plurals = ("/rtppools", "/pods", "/nodes", "/configmaps", "/leases", "/customresourcedefinitions", "/namespaces")
    return "list" if path.rstrip("/").endswith(plurals) else "get"


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_HEADERS}


def _refused(status: int) -> web.Response:
    return web.json_response(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": REASONS.get(status, "Unknown"),
            "message": f"refused with {status} by the test",
            "code": status,
        },
        status=status,
        headers={"Retry-After": "1"} if status == 429 else {},
    )
