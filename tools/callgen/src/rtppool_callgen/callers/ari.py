"""Calls that a real Asterisk originates through its REST interface."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping
from typing import Any, Self

import aiohttp

from rtppool_callgen.callers.asterisk_client import AsteriskClient
from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.callers.line_driver import CallEnd, LineDriver, NotPlacedError
from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.plan.plan import LoadPlan

HEARTBEAT_SECONDS = 10.0
MAX_EVENT_BYTES = 1 << 20
_VARIABLES = ("RTP_RELAY_REFUSED", "RTP_RELAY_ENDED")


class _Call:
    """State of a call, from the events."""

    __slots__ = ("bridged", "variables")

    def __init__(self) -> None:
        self.bridged = False
        self.variables: dict[str, str] = {}


class AriCallers:
    """Originates `endpoint` into `application`, which a relay serves, and follows the events of all channels.

    Asterisk sends the packets, so these callers count none.
    """

    def __init__(self, plan: LoadPlan, asterisk: AsteriskClient, endpoint: str, application: str) -> None:
        self._plan = plan
        self._asterisk = asterisk
        self._endpoint = endpoint
        self._application = application
        self._name = f"rtppool-load-{secrets.token_hex(4)}"
        self._calls: dict[str, _Call] = {}
        self._number = 0
        self._tally = Tally()
        self._before: frozenset[str] = frozenset()
        self._driver: LineDriver | None = None
        self._closing = contextlib.AsyncExitStack()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """See `Callers.__aenter__`."""
        try:
            await self._open()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `Callers.__aexit__`."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._closing.aclose()

    async def call(self, stop: asyncio.Event) -> None:
        """See `Callers.call`."""
        driver = self._driver = LineDriver(self._plan, self, self._tally.add)
        if self._reader is None:
            raise RuntimeError("AriCallers is used outside of its async with")
        calling = asyncio.create_task(driver.run(stop))
        await asyncio.wait({calling, self._reader}, return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
            await self._hang_up_all()
            raise CallersFailed(
                f"Asterisk at {self._asterisk.url} closed the event websocket: the ends of calls are unknown"
            )
        await calling
        self._tally.add(await self._asterisk.left_behind(self._before))

    async def place(self) -> str:
        """See `Phone.place`."""
        self._number += 1
        channel = f"{self._name}-{self._number}"
        self._calls[channel] = _Call()
        asked = {"endpoint": self._endpoint, "app": self._application, "channelId": channel}
        try:
            await self._asterisk.request("POST", "/channels", asked)
        except CallersFailed as failed:
            del self._calls[channel]
            # The request may have succeeded although its answer was lost.
            await self.hang_up(channel)
            raise NotPlacedError(str(failed)) from failed
        return channel

    async def hang_up(self, channel: str) -> None:
        """See `Phone.hang_up`. A call that Asterisk does not end becomes `HangUpNotConfirmed`."""
        with contextlib.suppress(CallersFailed):
            await self._asterisk.request("DELETE", f"/channels/{channel}", may_be_missing=True)

    def tally(self) -> Tally:
        """See `Callers.tally`."""
        return self._tally

    def settings(self) -> Mapping[str, str]:
        """See `Callers.settings`."""
        return {"kind": "ari", "url": self._asterisk.url, "endpoint": self._endpoint, "application": self._application}

    async def _open(self) -> None:
        asterisk = await self._closing.enter_async_context(self._asterisk)
        if await asterisk.request("GET", f"/applications/{self._application}", may_be_missing=True) is None:
            raise CallersFailed(
                f"no relay serves the application {self._application} on {asterisk.url}: is the relay connected to "
                "this Asterisk, and is --application its APP_NAME?"
            )
        self._before = await asterisk.relay_objects()
        try:
            events = await self._closing.enter_async_context(
                asterisk.http.ws_connect(
                    f"{asterisk.url}/events",
                    params={"app": self._name, "subscribeAll": "true"},
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=MAX_EVENT_BYTES,
                )
            )
        except aiohttp.ClientError as error:
            raise CallersFailed(f"Asterisk at {self._asterisk.url} provides no events: {error}") from error
        self._reader = asyncio.create_task(self._read(events))

    async def _read(self, events: aiohttp.ClientWebSocketResponse) -> None:
        async for message in events:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            event = json.loads(message.data)
            if isinstance(event, dict):
                self._on_event(event)

    def _on_event(self, event: Mapping[str, Any]) -> None:
        channel = event.get("channel")
        name = channel.get("id") if isinstance(channel, Mapping) else None
        call = self._calls.get(name) if isinstance(name, str) else None
        if call is None or not isinstance(name, str):
            return
        match event.get("type"):
            case "ChannelEnteredBridge":
                call.bridged = True
            case "ChannelVarset" if event.get("variable") in _VARIABLES:
                call.variables[event["variable"]] = str(event.get("value", ""))
            case "ChannelDestroyed":
                del self._calls[name]
                if self._driver is not None:
                    refused, given_back = (call.variables.get(variable) or None for variable in _VARIABLES)
                    self._driver.ended(CallEnd(name, call.bridged, refused, given_back))

    async def _hang_up_all(self) -> None:
        for channel in list(self._calls):
            await self.hang_up(channel)
