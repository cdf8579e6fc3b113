"""The document of `/calls`, rendered in slices, because a call's figures cost about a millisecond.

Nobody waits for thousands of calls: the control loop gets its turn after each slice, and requests share a document.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from rtppool_core.contract.codec import to_json
from rtppool_core.net.http_endpoints import JSON_HEADERS

# Of the thread's CPU time, between two turns of the control loop. The last call of a slice may add its own.
SLICE_SECONDS = 0.005
MIN_INTERVAL_SECONDS = 1.0
CHUNK_BYTES = 64 * 1024

Calls = Callable[[], Iterable[Any]]
CpuSeconds = Callable[[], float]


class CallsDocument:
    """Renders live and recent calls at most once in `MIN_INTERVAL_SECONDS`. Requests in between get the same bytes."""

    def __init__(self, live_calls: Calls, recent_calls: Calls, cpu_seconds: CpuSeconds = time.thread_time) -> None:
        self._live_calls = live_calls
        self._recent_calls = recent_calls
        self._cpu_seconds = cpu_seconds
        self._rendering: asyncio.Task[bytes] | None = None
        self._began_seconds = 0.0

    async def render(self) -> bytes:
        """Return the document, with one line for each call."""
        now_seconds = asyncio.get_running_loop().time()
        rendering = self._rendering
        if rendering is None or (rendering.done() and now_seconds >= self._began_seconds + MIN_INTERVAL_SECONDS):
            rendering = self._rendering = asyncio.create_task(self._render(), name="render /calls")
            self._began_seconds = now_seconds
        # Shielded: the other requests still wait for it when one of them is cancelled.
        return await asyncio.shield(rendering)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send the document in chunks, so that a client that reads slowly costs one chunk of memory."""
        body = await self.render()
        response = web.StreamResponse(headers=JSON_HEADERS)
        response.content_type, response.charset = "application/json", "utf-8"
        response.content_length = len(body)
        await response.prepare(request)
        if request.method != "HEAD":
            view = memoryview(body)
            for start in range(0, len(body), CHUNK_BYTES):
                await response.write(view[start : start + CHUNK_BYTES])
                await asyncio.sleep(0)
        return response

    async def _render(self) -> bytes:
        parts = [b'{"live": [']
        await self._append(parts, self._live_calls())
        parts.append(b'], "recent": [')
        await self._append(parts, self._recent_calls())
        parts.append(b"]}\n")
        return b"".join(parts)

    async def _append(self, parts: list[bytes], calls: Iterable[Any]) -> None:
        slice_began_seconds = self._cpu_seconds()
        separator = b"\n"
        for call in calls:
            parts += (separator, json.dumps(to_json(call)).encode())
            separator = b",\n"
            if self._cpu_seconds() >= slice_began_seconds + SLICE_SECONDS:
                await asyncio.sleep(0)
                slice_began_seconds = self._cpu_seconds()
