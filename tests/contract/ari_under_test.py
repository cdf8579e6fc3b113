"""The parts of the contract's tests: the client, callers, the events as they arrive, and a relay's RTP port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from rtppool_relay.ari.rest import AriClient

WAIT_SECONDS = 30.0
QUIET_SECONDS = 0.25


@dataclass(slots=True)
class EventLog:
    """Events as raw JSON, in order of arrival."""

    events: list[dict[str, Any]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._news.set()

    async def wait_for(self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Return the first event of a kind that fits, also one that arrives later."""
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            for event in self.events:
                if event["type"] == kind and fits(event):
                    return event
            self._news.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._news.wait()
            except TimeoutError:
                raise AssertionError(f"no {kind}; heard {[event['type'] for event in self.events]}") from None

    async def wait_until_quiet(self) -> None:
        """Return when no event has arrived for a moment, at the latest after `WAIT_SECONDS`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while await self._has_news():
                    pass

    async def _has_news(self) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class Ari:
    """One Asterisk, and a Stasis application of the test itself."""

    url: str
    user: str
    password: str
    application: str
    client: AriClient

    @asynccontextmanager
    async def listening(self, to_all_as: str | None = None) -> AsyncIterator[EventLog]:
        """Register the application and collect raw events, with the fields that the client ignores.

        Args:
            to_all_as: register another application of this name instead, which receives the events of all.
        """
        heard = EventLog()
        asked = {"app": self.application} if to_all_as is None else {"app": to_all_as, "subscribeAll": "true"}
        async with (
            self.session() as http,
            http.ws_connect(f"{self.url}/events", params=asked) as ws,
        ):
            reader = asyncio.create_task(_read(ws, heard))
            try:
                yield heard
            finally:
                # Asterisk 22.10 stands still for good where it unregisters an application that has an event under way.
                await heard.wait_until_quiet()
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

    def session(self) -> aiohttp.ClientSession:
        """Return a plain HTTP client with the user's credentials."""
        return aiohttp.ClientSession(headers={"Authorization": aiohttp.encode_basic_auth(self.user, self.password)})

    async def request(self, method: str, path: str, **parameters: str) -> tuple[int, Any]:
        """Send any request and return status and JSON."""
        async with self.session() as http, http.request(method, self.url + path, params=parameters) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def caller(self, heard: EventLog) -> str:
        """Create a caller who talks without pause in the application, and return its channel."""
        channel = f"caller-{secrets.token_hex(4)}"
        await self.request("POST", "/channels", endpoint="Local/s@contract", app=self.application, channelId=channel)
        await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == channel)
        return channel


async def _read(ws: aiohttp.ClientWebSocketResponse, heard: EventLog) -> None:
    async for message in ws:
        heard.add(json.loads(message.data))


class Receiver:
    """The UDP port of a relay."""

    def __init__(self, host: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.host, self.port = self.socket.getsockname()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def address(self) -> str:
        """The address for Asterisk's `external_host`."""
        return f"{self.host}:{self.port}"

    async def packets(self, count: int) -> list[tuple[bytes, tuple[str, int]]]:
        """Return the next packets and their senders."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_SECONDS):
            return [await loop.sock_recvfrom(self.socket, 2048) for _ in range(count)]


def source_address(host: str) -> str:
    """Return the local address on the route to Asterisk."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
