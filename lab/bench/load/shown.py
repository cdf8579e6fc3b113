"""What the stream of a live page shows: the latest second of calls, and the latest verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from rtppool_callgen.demo.live_seconds import live_events


@dataclass(slots=True)
class Shown:
    """The figures of the latest second by their names, None where nothing was measured, and the verdict."""

    second: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""
    _names: list[str] = field(default_factory=list)

    def figure(self, name: str) -> int:
        """Return a figure of the latest second; 0 where it was not measured."""
        return self.second.get(name) or 0

    def take(self, event: str, document: Any) -> None:
        """Take an event of the stream."""
        if event == "history":
            self._names = document["fields"]["second"]
        elif event == "second":
            self.second = dict(zip(self._names, document["calls"], strict=False))
        elif event == "state":
            self.verdict = document["sla"]["result"]


@asynccontextmanager
async def following(http: aiohttp.ClientSession) -> AsyncIterator[Shown]:
    """Follow the stream of a relay for the length of the block."""
    shown = Shown()
    task = asyncio.create_task(_follow(http, shown))
    try:
        yield shown
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(http: aiohttp.ClientSession, shown: Shown) -> None:
    async for event, document in live_events(http):
        shown.take(event, document)
