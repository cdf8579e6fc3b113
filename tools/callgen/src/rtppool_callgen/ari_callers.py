"""Callers whom a real Asterisk originates through its REST interface."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping
from typing import Any, Self

import aiohttp

from rtppool_callgen.call_tally import Tally
from rtppool_callgen.caller_events import Over
from rtppool_callgen.callers import CallersFailed
from rtppool_callgen.line_driver import CallEnd, LineDriver, NotPlacedError
from rtppool_callgen.load_plan import LoadPlan

REQUEST_SECONDS = 10.0
# What is left of a call two seconds after its end is an orphan.
ORPHAN_SECONDS = 2.0
POLL_SECONDS = 0.2
LARGEST_EVENT_BYTES = 1 << 20
# Ids of the channels and bridges that relays make.
RELAYS_PREFIX = "rtp_"
NOT_FOUND = 404
_VARIABLES = ("RTP_RELAY_REFUSED", "RTP_RELAY_ENDED")


class _Call:
    """What the events have told of a call."""

    __slots__ = ("bridged", "variables")

    def __init__(self) -> None:
        self.bridged = False
        self.variables: dict[str, str] = {}


class AriCallers:
    """Originates `endpoint` into `application`, whose relay takes the calls, and hears all events beside it.

    Packets are Asterisk's: these callers count none.
    """

    def __init__(self, plan: LoadPlan, url: str, user: str, password: str, endpoint: str, application: str) -> None:
        self._plan = plan
        self._url = url.rstrip("/")
        self._authorization = aiohttp.encode_basic_auth(user, password)
        self._endpoint = endpoint
        self._application = application
        self._name = f"rtppool-load-{secrets.token_hex(4)}"
        self._calls: dict[str, _Call] = {}
        self._number = 0
        self._tally = Tally()
        self._before: frozenset[str] = frozenset()
        self._driver: LineDriver | None = None
        self._closing = contextlib.AsyncExitStack()
        self._http: aiohttp.ClientSession | None = None
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
            raise CallersFailed(f"Asterisk at {self._url} closed the events: how calls end is no longer known")
        await calling
        self._tally.add(await self._left_behind())

    async def place(self) -> str:
        """See `Phone.place`."""
        self._number += 1
        channel = f"{self._name}-{self._number}"
        self._calls[channel] = _Call()
        asked = {"endpoint": self._endpoint, "app": self._application, "channelId": channel}
        try:
            await self._request("POST", "/channels", asked)
        except CallersFailed as failed:
            del self._calls[channel]
            raise NotPlacedError(str(failed)) from failed
        return channel

    async def hang_up(self, channel: str) -> None:
        """See `Phone.hang_up`. A call that Asterisk would not end is told as `HangUpNotConfirmed` by the driver."""
        with contextlib.suppress(CallersFailed):
            await self._request("DELETE", f"/channels/{channel}", {})

    def tally(self) -> Tally:
        """See `Callers.tally`."""
        return self._tally

    def settings(self) -> Mapping[str, str]:
        """See `Callers.settings`."""
        return {"kind": "ari", "url": self._url, "endpoint": self._endpoint, "application": self._application}

    async def _open(self) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        session = aiohttp.ClientSession(headers={"Authorization": self._authorization}, timeout=timeout)
        self._http = await self._closing.enter_async_context(session)
        if await self._request("GET", f"/applications/{self._application}", {}, may_be_missing=True) is None:
            raise CallersFailed(
                f"no relay serves the application {self._application} on {self._url}: is the relay connected to this "
                "Asterisk, and is --application its APP_NAME?"
            )
        self._before = await self._of_relays()
        try:
            events = await self._closing.enter_async_context(
                self._http.ws_connect(
                    f"{self._url}/events",
                    params={"app": self._name, "subscribeAll": "true"},
                    heartbeat=REQUEST_SECONDS,
                    max_msg_size=LARGEST_EVENT_BYTES,
                )
            )
        except aiohttp.ClientError as error:
            raise CallersFailed(f"Asterisk at {self._url} gives no events: {error}") from error
        self._reader = asyncio.create_task(self._read(events))

    async def _read(self, events: aiohttp.ClientWebSocketResponse) -> None:
        async for message in events:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            event = json.loads(message.data)
            if isinstance(event, dict):
                self._heard(event)

    def _heard(self, event: Mapping[str, Any]) -> None:
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

    async def _left_behind(self) -> Over:
        """Look for what relays left, for two seconds at most. What was there before the load is not ours."""
        deadline = asyncio.get_running_loop().time() + ORPHAN_SECONDS
        while True:
            try:
                left = await self._of_relays() - self._before
            except CallersFailed:
                return Over()
            if not left or asyncio.get_running_loop().time() > deadline:
                bridges = sum(name.startswith("bridge ") for name in left)
                return Over(len(left) - bridges, bridges)
            await asyncio.sleep(POLL_SECONDS)

    async def _of_relays(self) -> frozenset[str]:
        """Relays' channels and bridges by id."""
        found = set()
        for kind, path in (("channel", "/channels"), ("bridge", "/bridges")):
            listed = await self._request("GET", path, {})
            ids = (
                [each.get("id", "") for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
            )
            found |= {f"{kind} {name}" for name in ids if isinstance(name, str) and name.startswith(RELAYS_PREFIX)}
        return frozenset(found)

    async def _request(
        self, method: str, path: str, parameters: Mapping[str, str], *, may_be_missing: bool = False
    ) -> Any:
        """The answer's JSON; None of a 404 where that is fine, and of an empty answer."""
        if self._http is None:
            raise RuntimeError("AriCallers is used outside of its async with")
        try:
            async with self._http.request(method, self._url + path, params=parameters) as response:
                text = await response.text()
                if response.status == NOT_FOUND and (may_be_missing or method == "DELETE"):
                    return None
                if not response.ok:
                    raise CallersFailed(f"Asterisk answers {response.status} to {method} {path}: {text.strip()[:200]}")
                return json.loads(text) if text.strip() else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or f"no answer within {REQUEST_SECONDS:g} s"
            raise CallersFailed(f"Asterisk at {self._url} does not answer {method} {path}: {reason}") from error
