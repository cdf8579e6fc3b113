"""A watch on its way through the proxy, with the faults of watches."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from aiohttp import web

# A server sends one about every minute. Here the tests are shorter.
BOOKMARK_SECONDS = 0.5


@dataclass(slots=True)
class WatchFaults:
    """The active faults of watches.

    `silent`: they stay open without a byte. A watch that has lost an event stays silent until its connection ends.
    `bookmarks_only`: a bookmark with the version of each event comes instead of it, and further bookmarks follow
    (https://github.com/etcd-io/etcd/issues/15220).
    `behind`: events come later, as from an API server whose cache is behind.
    """

    silent: bool = False
    bookmarks_only: bool = False
    behind: bool = False


class Lines(Protocol):
    """The response of a server."""

    async def readline(self) -> bytes:
        """Return the next line; empty at the end."""


class WatchStream:
    """A watch. `query` is that of its request."""

    def __init__(self, response: web.StreamResponse, query: Mapping[str, str], faults: WatchFaults) -> None:
        self._response = response
        self._faults = faults
        self._takes_bookmarks = query.get("allowWatchBookmarks") in {"1", "true"}
        self._version = query.get("resourceVersion", "")
        self._ended = asyncio.Event()
        self._is_silent = False
        self._held: list[bytes] = []

    def end(self) -> None:
        """End the watch, as a server does after some minutes. The client of a silent watch does not learn of it."""
        if not self._is_silent:
            self._ended.set()

    def end_if_silent(self) -> None:
        """End a silent watch, as its client does after a time."""
        if self._is_silent:
            self._ended.set()

    def silence(self) -> None:
        """Pass nothing on any more, not even the end, as a connection does whose state a firewall has lost."""
        self._is_silent = True

    async def send(self, kind: str, document: Mapping[str, Any]) -> None:
        """Send an event of the proxy's own. A client that has just gone watches anew."""
        with contextlib.suppress(ConnectionError):
            await self._response.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")

    async def pass_on(self, lines: Lines) -> None:
        """Pass events on until the server or `end` ends the watch."""
        ended = asyncio.create_task(self._ended.wait())
        reading = asyncio.create_task(lines.readline())
        try:
            while not ended.done():
                await asyncio.wait({reading, ended}, timeout=BOOKMARK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                await self._tick()
                if not reading.done():
                    continue
                if not (line := self._line_of(reading)):
                    await self._pass_end(ended)
                    return
                await self._pass(line)
                reading = asyncio.create_task(lines.readline())
        finally:
            for task in (reading, ended):
                task.cancel()
            await asyncio.gather(reading, ended, return_exceptions=True)

    def _line_of(self, reading: asyncio.Task[bytes]) -> bytes:
        """Return the line; empty at the end."""
        try:
            return reading.result()
        except (aiohttp.ClientError, OSError):
            if self._is_silent:
                return b""
            raise

    async def _tick(self) -> None:
        """Do what is due at times: pass on the held events, or send a bookmark."""
        if self._is_silent:
            return
        if not self._faults.behind:
            held, self._held = self._held, []
            for line in held:
                await self._response.write(line)
        if self._faults.bookmarks_only:
            await self._send_bookmark()

    async def _pass(self, line: bytes) -> None:
        faults = self._faults
        self._is_silent = self._is_silent or faults.silent
        if self._is_silent:
            return
        if faults.behind:
            self._held.append(line)
        elif faults.bookmarks_only:
            self._version = json.loads(line)["object"]["metadata"]["resourceVersion"]
            await self._send_bookmark()
        else:
            await self._response.write(line)

    async def _pass_end(self, ended: asyncio.Task[bool]) -> None:
        if self._is_silent or self._faults.silent:
            await ended

    async def _send_bookmark(self) -> None:
        if self._takes_bookmarks and self._version:
            await self.send("BOOKMARK", {"metadata": {"resourceVersion": self._version}})
