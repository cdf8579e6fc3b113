"""An HTTP proxy between relay and Asterisk that bends real answers, and adds events of its own to the websocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.faults.calls.places import ARI_PORT

# Headers of one connection (RFC 9110 7.6.1), or set anew by the proxy.
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}
BAD_GATEWAY = 502
PREFIX = "/ari"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Asterisk, or one in its place. `chunks` stream a body after `body`."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    chunks: AsyncIterator[bytes] | None = None


# Gets method, path without `/ari` and Asterisk's answer; the same answer passes unbent.
Bend = Callable[[str, str, Answer], Answer]


class BendingProxy:
    """A proxy that forwards every request. While `bend` is set, it passes each answer through it."""

    def __init__(self, target_port: int = ARI_PORT) -> None:
        self.port = 0
        self.bend: Bend | None = None
        self.bent = 0
        self._target = f"{LOOPBACK}:{target_port}"
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._websockets: set[web.WebSocketResponse] = set()

    async def start(self) -> None:
        """Start listening on a free port."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """End all connections."""
        for each in list(self._websockets):
            await each.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def send_event(self, text: str) -> None:
        """Send an event that Asterisk did not send, over every websocket."""
        for each in list(self._websockets):
            with contextlib.suppress(ConnectionError, RuntimeError):  # closed by the relay
                await each.send_str(text)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        forward: Callable[[web.Request], Awaitable[web.StreamResponse]]
        forward = self._forward_events if request.path == f"{PREFIX}/events" else self._forward
        try:
            return await forward(request)
        except (aiohttp.ClientError, OSError):
            # The connection to Asterisk broke, so the relay's breaks as well.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=BAD_GATEWAY)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with self._client().request(
            request.method,
            f"http://{self._target}{request.path_qs}",
            data=body or None,
            headers=_end_to_end(request.headers),
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response:
            answer = Answer(response.status, await response.read(), _end_to_end(response.headers))
        if self.bend is not None:
            bent = self.bend(request.method, request.path.removeprefix(PREFIX), answer)
            self.bent += bent is not answer
            answer = bent
        if answer.chunks is None:
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        stream = web.StreamResponse(status=answer.status, headers=answer.headers)
        await stream.prepare(request)
        await stream.write(answer.body)
        async for chunk in answer.chunks:
            await stream.write(chunk)
        return stream

    async def _forward_events(self, request: web.Request) -> web.StreamResponse:
        target = f"http://{self._target}{request.path_qs}"
        headers = {"Authorization": request.headers.get("Authorization", "")}
        async with self._client().ws_connect(target, headers=headers, max_msg_size=0) as events:
            websocket = web.WebSocketResponse(max_msg_size=0)
            await websocket.prepare(request)
            self._websockets.add(websocket)
            reading = asyncio.create_task(_drain(websocket))
            sending = asyncio.create_task(_send_all(events, websocket))
            try:
                await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._websockets.discard(websocket)
                for each in (reading, sending):
                    each.cancel()
                await asyncio.gather(reading, sending, return_exceptions=True)
        if request.transport is not None:
            request.transport.abort()
        return websocket

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise LabError("the proxy was not started")
        return self._session


async def _send_all(events: aiohttp.ClientWebSocketResponse, websocket: web.WebSocketResponse) -> None:
    async for message in events:
        await websocket.send_str(message.data)


async def _drain(websocket: web.WebSocketResponse) -> None:
    """Read to the end of the relay's side; a relay sends pings and its close alone."""
    async for _message in websocket:
        pass


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_HEADERS}
