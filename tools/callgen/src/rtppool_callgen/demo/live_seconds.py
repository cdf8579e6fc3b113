"""The latest second of a relay's calls, from the stream of its live page (`/events`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp

AGAIN_SECONDS = 1.0
# An event of 4,096 calls has some 400 KB.
MAX_LINE_BYTES = 4 << 20


async def live_events(http: aiohttp.ClientSession) -> AsyncIterator[tuple[str, Any]]:
    """Yield the events of a relay's live page, each with its name, until the stream ends.

    Raises:
        aiohttp.ClientError: the stream was refused, or broke.
        TimeoutError: it was silent.
        ValueError: an event is too long, or not JSON.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_read=10)
    async with http.get("/events", timeout=timeout, read_bufsize=MAX_LINE_BYTES) as response:
        event = ""
        async for line in response.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield event, json.loads(value)


class LiveSeconds:
    """Follows the stream. `latest` has the fields of the latest second of calls, or of the probe where there are none.

    `news` is set with each second.
    """

    def __init__(self) -> None:
        self.latest: Mapping[str, Any] = {}
        self.news = asyncio.Event()
        self._fields: list[str] = []

    async def follow(self, http: aiohttp.ClientSession) -> None:
        """Read the stream, and open it again where it ends."""
        while True:
            try:
                async for event, document in live_events(http):
                    self._take(event, document)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                # The relay restarts, or has too many watchers. The table says that there are no figures.
                pass
            self.latest = {}
            await asyncio.sleep(AGAIN_SECONDS)

    def _take(self, event: str, document: Mapping[str, Any]) -> None:
        if event == "history":
            self._fields = document["fields"]["second"]
        elif event == "second":
            self.latest = next(self._seconds(document), {})
            self.news.set()

    def _seconds(self, document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        for kind in ("calls", "probe"):
            second = dict(zip(self._fields, document[kind], strict=False))
            if second.get("packets"):
                yield {"kind": kind, **second}
