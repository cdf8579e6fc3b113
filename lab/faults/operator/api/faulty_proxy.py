"""A proxy between operator and API server: plain HTTP in, TLS out, with faults by verb and path."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.faults.operator.api.api_client import MAX_LINE
from lab.faults.operator.api.api_server import ApiServer
from lab.faults.operator.api.earlier_lists import EarlierLists
from lab.faults.operator.api.forwarded_writes import ForwardedWrite, holder_in
from lab.faults.operator.api.watch_stream import WatchFaults, WatchStream

EVERYTHING = frozenset({"create", "update", "patch", "delete", "get", "list", "watch"})
WRITES = frozenset({"create", "update", "patch", "delete"})
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
    """The active faults. Verbs in `hang` get no answer. With `behind`, lists are the kept ones, and watches wait."""

    refusals: list[Refusal] = field(default_factory=list)
    watches: WatchFaults = field(default_factory=WatchFaults)
    hang: frozenset[str] = frozenset()

    def cut_off(self) -> None:
        """Answer nothing, and pass nothing on."""
        self.hang = EVERYTHING
        self.watches.silent = True

    def clear(self) -> None:
        """End all faults. A watch that is silent stays so until its connection ends."""
        self.refusals.clear()
        self.hang = frozenset()
        watches = self.watches
        watches.silent = watches.bookmarks_only = watches.behind = False


class FaultyProxy:
    """A proxy of its own for each operator that a fault cuts off alone. `writes` are those that were accepted."""

    def __init__(self, server: ApiServer) -> None:
        self.faults = Faults()
        self.requests: dict[str, int] = {}
        self.writes: list[ForwardedWrite] = []
        self._lists = EarlierLists()
        self._server = server
        self._port = 0
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._watches: set[WatchStream] = set()
        self._given_up = asyncio.Event()

    @property
    def url(self) -> str:
        """The server URL for a kubeconfig."""
        return f"http://{LOOPBACK}:{self._port}"

    async def start(self) -> None:
        """Start listening."""
        connector = aiohttp.TCPConnector(ssl=self._server.trust(), limit=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, read_bufsize=MAX_LINE)
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
        for watch in list(self._watches):
            await watch.send("ERROR", status)

    def end_watches(self) -> None:
        """End every open watch, as the server does after some minutes."""
        for watch in self._watches:
            watch.end()

    def silence_watches(self) -> None:
        """Make every open watch silent until its client gives it up. Later ones are sound."""
        for watch in self._watches:
            watch.silence()

    def give_up(self) -> None:
        """Break what the faults have left without an answer: silent watches, and requests that hang."""
        for watch in self._watches:
            watch.end_if_silent()
        self._given_up.set()
        self._given_up = asyncio.Event()

    async def keep_lists(self) -> None:
        """Keep the present answers of all lists that clients have asked for, for a time with `behind`."""
        await self._lists.keep(self._session_of(), self._server.url)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        verb = verb_of(request.method, request.path, request.query)
        self.requests[verb] = self.requests.get(verb, 0) + 1
        faults = self.faults
        if verb in faults.hang or (verb == "watch" and faults.watches.silent):
            await self._given_up.wait()
            return _broken(request)
        for refusal in faults.refusals:
            if refusal.fits(verb, request.path):
                refusal.count()
                return _refused(refusal.status)
        if verb == "list":
            self._lists.note(request)
            earlier = self._lists.answer(request) if faults.watches.behind else None
            if earlier is not None:
                return earlier
        return await self._forward(request, verb)

    def _session_of(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise LabError("the proxy was not started")
        return self._session

    async def _forward(self, request: web.Request, verb: str) -> web.StreamResponse:
        body, began = await request.read(), time.monotonic()
        try:
            async with self._session_of().request(
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
                if verb in WRITES and answer.ok:
                    held = holder_in(request.path, body)
                    self.writes.append(ForwardedWrite(began, time.monotonic(), request.path, held))
                await response.prepare(request)
                if verb == "watch" and answer.ok:
                    await self._watch(WatchStream(response, request.query, self.faults.watches), answer.content)
                else:
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError):
            return _broken(request)

    async def _watch(self, watch: WatchStream, lines: aiohttp.StreamReader) -> None:
        self._watches.add(watch)
        try:
            await watch.pass_on(lines)
        finally:
            self._watches.discard(watch)


def _broken(request: web.Request) -> web.Response:
    """Break the client's connection, as that to the server is broken."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=BAD_GATEWAY)


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
