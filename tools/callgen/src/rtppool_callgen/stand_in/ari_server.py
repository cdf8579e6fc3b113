"""HTTP of the stand-in: the part of Asterisk's REST interface and event websocket that a relay uses."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from aiohttp import WSMsgType, web

from rtppool_callgen.stand_in.switchboard import Switchboard, SwitchboardError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Called with method and path (without `/ari`) before a request has any effect, and again before its reply is sent. It
# may change the switchboard, raise a SwitchboardError as the answer, or never return.
Interfere = Callable[[str, str, Literal["before", "after"]], Awaitable[None]]
MAX_QUEUED_EVENTS = 4096
# The longest name that Asterisk 22.10 accepts.
MAX_APPLICATION = 73


class Legs(Protocol):
    """Effects of requests on sockets and streams, beyond the switchboard."""

    def create_media(self, channel: str, application: str, external_host: str, media_format: str) -> dict[str, Any]:
        """Create an externalMedia channel."""

    def on_bridged(self, channels: list[str]) -> None:
        """Note that channels entered a bridge."""

    def on_continued(self, channel: str) -> None:
        """Note that a caller returned to the dialplan."""

    def originate(self, channel: str, application: str) -> dict[str, Any]:
        """Create a channel in an application (`POST /channels` with an endpoint `Local/…`)."""

    def hang_up(self, channel: str) -> None:
        """End a leg."""


# None is the end of the websocket.
EventQueue = asyncio.Queue[dict[str, Any] | None]


class EventHub:
    """Event queues of websockets by application. A newer websocket replaces the older one."""

    def __init__(self) -> None:
        self._queues: dict[str, EventQueue] = {}
        self._subscribed_to_all: set[str] = set()

    def emit(self, applications: set[str], event: dict[str, Any]) -> None:
        """Queue an event for applications, and for subscribers to all. Without one it is lost, as in Asterisk."""
        for name in applications | self._subscribed_to_all:
            queue = self._queues.get(name)
            if queue is not None and not queue.full():
                queue.put_nowait({"application": name} | event)

    def subscribe(self, application: str, *, subscribe_all: bool = False) -> EventQueue:
        """Return a new queue for the application's events, with `subscribe_all` for all events."""
        queue: EventQueue = asyncio.Queue(MAX_QUEUED_EVENTS)
        self._queues[application] = queue
        (self._subscribed_to_all.add if subscribe_all else self._subscribed_to_all.discard)(application)
        return queue

    def disconnect(self, application: str) -> None:
        """Close the application's websocket."""
        queue = self._queues.get(application)
        if queue is not None:
            queue.put_nowait(None)

    def unsubscribe(self, application: str, queue: EventQueue) -> bool:
        """Remove a queue. Returns False when a newer one had replaced it."""
        if self._queues.get(application) is not queue:
            return False
        del self._queues[application]
        self._subscribed_to_all.discard(application)
        return True


async def no_interference(_method: str, _path: str, _moment: Literal["before", "after"]) -> None:
    """Do nothing: the default `Interfere`."""


def make_ari(
    switchboard: Switchboard,
    hub: EventHub,
    legs: Legs,
    user: str,
    password: Callable[[], str],
    interfere: Interfere = no_interference,
) -> web.Application:
    """Return the application; all paths are under `/ari`."""
    routes = _Routes(switchboard, hub, legs)
    app = web.Application(middlewares=[_basic_auth(user, password), _errors, _interference(interfere)])
    app.add_routes(
        [
            web.get("/ari/events", routes.events),
            web.get("/ari/applications", routes.applications),
            web.get("/ari/applications/{application}", routes.application),
            web.post("/ari/applications/{application}/subscription", routes.subscribe),
            web.delete("/ari/applications/{application}/subscription", routes.unsubscribe),
            web.get("/ari/asterisk/info", routes.asterisk_info),
            web.get("/ari/asterisk/variable", routes.get_global_variable),
            web.post("/ari/asterisk/variable", routes.set_global_variable),
            web.get("/ari/channels", routes.channels),
            web.post("/ari/channels", routes.originate),
            web.post("/ari/channels/externalMedia", routes.external_media),
            web.get("/ari/channels/{channel}", routes.channel),
            web.delete("/ari/channels/{channel}", routes.delete_channel),
            web.post("/ari/channels/{channel}/answer", routes.answer),
            web.post("/ari/channels/{channel}/continue", routes.continue_in_dialplan),
            web.post("/ari/channels/{channel}/move", routes.move),
            web.get("/ari/channels/{channel}/variable", routes.get_variable),
            web.post("/ari/channels/{channel}/variable", routes.set_variable),
            web.get("/ari/bridges", routes.bridges),
            web.post("/ari/bridges", routes.create_bridge),
            web.get("/ari/bridges/{bridge}", routes.bridge),
            web.delete("/ari/bridges/{bridge}", routes.delete_bridge),
            web.post("/ari/bridges/{bridge}/addChannel", routes.add_channel),
            web.post("/ari/bridges/{bridge}/removeChannel", routes.remove_channel),
        ]
    )
    app.on_shutdown.append(routes.close)
    return app


class _Routes:
    def __init__(self, switchboard: Switchboard, hub: EventHub, legs: Legs) -> None:
        self._board = switchboard
        self._hub = hub
        self._legs = legs
        self._sockets: set[web.WebSocketResponse] = set()

    async def close(self, _app: web.Application) -> None:
        """Close the websockets: a shutdown would wait for them."""
        for socket in list(self._sockets):
            await socket.close()

    async def events(self, request: web.Request) -> web.StreamResponse:
        application = _required(request, "app")
        if len(application) > MAX_APPLICATION:
            raise SwitchboardError(500, "Stasis app registration failed")
        socket = web.WebSocketResponse(heartbeat=15)
        await socket.prepare(request)
        self._board.register(application)
        queue = self._hub.subscribe(application, subscribe_all=request.query.get("subscribeAll") == "true")
        self._sockets.add(socket)
        sender = asyncio.create_task(_send_all(socket, queue))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._sockets.discard(socket)
            if self._hub.unsubscribe(application, queue):
                self._board.unregister(application)
        return socket

    async def application(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._board.application(request.match_info["application"]))

    async def applications(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self._board.applications())

    async def subscribe(self, request: web.Request) -> web.StreamResponse:
        source = _required(request, "eventSource").removeprefix("channel:")
        return web.json_response(self._board.subscribe(request.match_info["application"], source))

    async def unsubscribe(self, request: web.Request) -> web.StreamResponse:
        source = _required(request, "eventSource").removeprefix("channel:")
        return web.json_response(self._board.unsubscribe(request.match_info["application"], source))

    async def asterisk_info(self, _request: web.Request) -> web.StreamResponse:
        started = self._board.started
        return web.json_response({"status": {"startup_time": started, "last_reload_time": started}})

    async def get_global_variable(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"value": self._board.variables.get(_required(request, "variable"), "")})

    async def set_global_variable(self, request: web.Request) -> web.StreamResponse:
        name, value = _required(request, "variable"), request.query.get("value")
        if value is None:
            self._board.variables.pop(name, None)
        else:
            self._board.variables[name] = value
        return _no_content()

    async def channels(self, _request: web.Request) -> web.StreamResponse:
        if any(leg.is_odd for leg in self._board.channels.values()):
            return web.json_response({"error": "Allocation failed"}, status=500)
        return web.json_response([leg.to_json() for leg in self._board.channels.values()])

    async def channel(self, request: web.Request) -> web.StreamResponse:
        leg = self._board.channel(request.match_info["channel"])
        return web.Response() if leg.is_odd else web.json_response(leg.to_json())

    async def originate(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._legs.originate(_required(request, "channelId"), _required(request, "app")))

    async def external_media(self, request: web.Request) -> web.StreamResponse:
        snapshot = self._legs.create_media(
            request.query.get("channelId", ""),
            _required(request, "app"),
            _required(request, "external_host"),
            _required(request, "format"),
        )
        return web.json_response(snapshot)

    async def delete_channel(self, request: web.Request) -> web.StreamResponse:
        self._legs.hang_up(request.match_info["channel"])
        return _no_content()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self._board.answer(request.match_info["channel"])
        return _no_content()

    async def continue_in_dialplan(self, request: web.Request) -> web.StreamResponse:
        leg = self._board.leave_application(request.match_info["channel"])
        self._legs.on_continued(leg.id)
        return _no_content()

    async def move(self, request: web.Request) -> web.StreamResponse:
        self._board.move(request.match_info["channel"], _required(request, "app"))
        return _no_content()

    async def get_variable(self, request: web.Request) -> web.StreamResponse:
        leg, name = self._board.channel(request.match_info["channel"]), _required(request, "variable")
        if name in leg.variables:
            return web.json_response({"value": leg.variables[name]})
        if "(" in name:
            raise SwitchboardError(500, "Unable to read provided function")
        raise SwitchboardError(404, "Provided variable was not found")

    async def set_variable(self, request: web.Request) -> web.StreamResponse:
        name, value = _required(request, "variable"), request.query.get("value", "")
        self._board.set_variable(request.match_info["channel"], name, value)
        return _no_content()

    async def bridges(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response([bridge.to_json() for bridge in self._board.bridges.values()])

    async def bridge(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._board.bridge(request.match_info["bridge"]).to_json())

    async def create_bridge(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._board.create_bridge(_required(request, "bridgeId")))

    async def delete_bridge(self, request: web.Request) -> web.StreamResponse:
        self._board.delete_bridge(request.match_info["bridge"])
        return _no_content()

    async def add_channel(self, request: web.Request) -> web.StreamResponse:
        channels = _required(request, "channel").split(",")
        self._board.add_to_bridge(request.match_info["bridge"], channels)
        self._legs.on_bridged(channels)
        return _no_content()

    async def remove_channel(self, request: web.Request) -> web.StreamResponse:
        self._board.remove_from_bridge(request.match_info["bridge"], _required(request, "channel"))
        return _no_content()


def _no_content() -> web.Response:
    return web.Response(status=204)


async def _send_all(socket: web.WebSocketResponse, queue: EventQueue) -> None:
    while (event := await queue.get()) is not None:
        await socket.send_str(json.dumps(event))
    await socket.close()


def _required(request: web.Request, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        raise SwitchboardError(400, f"{name} must be specified")
    return value


def _refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"message": message}, status=status, headers=headers)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SwitchboardError as error:
        return _refused(error.status, str(error))


def _interference(interfere: Interfere) -> Any:
    @web.middleware
    async def call_interfere(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix("/ari")
        if path == "/events":
            return await handler(request)
        await interfere(request.method, path, "before")
        response = await handler(request)
        await interfere(request.method, path, "after")
        return response

    return call_interfere


def _basic_auth(user: str, password: Callable[[], str]) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        expected = base64.b64encode(f"{user}:{password()}".encode()).decode()
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            return _refused(
                401, "Authentication required", {"WWW-Authenticate": 'Basic realm="Asterisk REST Interface"'}
            )
        return await handler(request)

    return check
