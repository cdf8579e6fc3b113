"""Between the operator and the API server: plain HTTP in, TLS out, and faults by verb and path on the way."""

from __future__ import annotations

import asyncio
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
# Meaningful for one connection only (RFC 9110 7.6.1), or made anew by this side.
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}
REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass(slots=True)
class Refusal:
    """Answers `status` to requests whose verb and path fit, the next `times` of them (None: all)."""

    status: int
    verbs: frozenset[str]
    path: str = ""
    times: int | None = None
    met: int = 0

    def fits(self, verb: str, path: str) -> bool:
        """Whether this request is refused."""
        return verb in self.verbs and re.search(self.path, path) is not None and self.times != 0

    def count(self) -> None:
        """One was refused."""
        self.met += 1
        if self.times is not None:
            self.times -= 1


@dataclass(slots=True)
class Faults:
    """What goes wrong now. `silent_watches`: watches get no byte and do not end; `hang`: verbs without an answer."""

    refusals: list[Refusal] = field(default_factory=list)
    silent_watches: bool = False
    hang: frozenset[str] = frozenset()

    def clear(self) -> None:
        """From now on nothing goes wrong; a watch that has gone silent stays so until its connection ends."""
        self.refusals.clear()
        self.silent_watches = False
        self.hang = frozenset()


class FaultyProxy:
    """One per operator that is to be cut off alone."""

    def __init__(self, server: ApiServer) -> None:
        self.faults = Faults()
        self.requests: dict[str, int] = {}
        self._server = server
        self._port = 0
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """What a kubeconfig names as its server."""
        return f"http://{LOOPBACK}:{self._port}"

    async def start(self) -> None:
        """Listen."""
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

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        verb = verb_of(request.method, request.path, request.query)
        self.requests[verb] = self.requests.get(verb, 0) + 1
        if verb in self.faults.hang or (verb == "watch" and self.faults.silent_watches):
            await asyncio.Event().wait()
        for refusal in self.faults.refusals:
            if refusal.fits(verb, request.path):
                refusal.count()
                return _refused(refusal.status)
        return await self._pass_on(request, watch=verb == "watch")

    async def _pass_on(self, request: web.Request, *, watch: bool) -> web.StreamResponse:
        if self._session is None:
            raise LabError("the proxy was not started")
        body = await request.read()
        try:
            async with self._session.request(
                request.method,
                f"{self._server.url}{request.path_qs}",
                data=body or None,
                headers=_carried(request.headers),
                timeout=aiohttp.ClientTimeout(total=None),
                allow_redirects=False,
                # The API server takes a body without a type for JSON; aiohttp would name it a stream of octets.
                skip_auto_headers=("Content-Type",),
            ) as answer:
                response = web.StreamResponse(status=answer.status, headers=_carried(answer.headers))
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    if watch and self.faults.silent_watches:
                        # What is lost here is lost for this connection: later bytes would make no sense either.
                        await asyncio.Event().wait()
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError):
            # The server's connection broke; the client's has to, too.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=BAD_GATEWAY)


def verb_of(method: str, path: str, query: Mapping[str, str]) -> str:
    """The verb as RBAC names it."""
    if method != "GET":
        return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, method.lower())
    if query.get("watch") in {"true", "1"}:
        return "watch"
    plurals = ("/rtppools", "/pods", "/nodes", "/configmaps", "/leases", "/customresourcedefinitions", "/namespaces")
    return "list" if path.rstrip("/").endswith(plurals) else "get"


def _carried(headers: Mapping[str, str]) -> dict[str, str]:
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
