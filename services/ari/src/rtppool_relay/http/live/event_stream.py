"""Server-sent events (`text/event-stream`, the HTML standard's section 9.2) for many watchers.

A watcher who does not read is closed, instead of held in memory: a browser connects again by itself.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

from aiohttp import web

from rtppool_core.net.http_endpoints import json_response
from rtppool_core.net.http_listener import max_connections, note_progress

MAX_WATCHERS = 16
# A watcher that is this many seconds behind is closed.
MAX_WAITING_EVENTS = 5
RETRY_MILLISECONDS = 2000
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # A proxy that collects an answer would show its events late.
    "X-Accel-Buffering": "no",
}


def encode_event(name: str, data: bytes) -> bytes:
    """Return an event. `data` is one line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def max_watchers(descriptor_limit: int) -> int:
    """Return the number of watchers that leave half of all connections to other requests."""
    return min(MAX_WATCHERS, max_connections(descriptor_limit) // 2)


class _Watcher:
    """One client, with the events that it has not read yet."""

    def __init__(self, request: web.Request) -> None:
        self.events: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._request = request

    def offer(self, event: bytes) -> bool:
        """Add an event; return False where too many wait."""
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True

    def close(self) -> None:
        """Close the connection at once, with its unsent bytes."""
        if self._request.transport is not None:
            self._request.transport.abort()
        if self._request.task is not None:
            self._request.task.cancel()


class EventStream:
    """The watchers of one stream. `first` returns the event that a new watcher gets before all others."""

    def __init__(self, first: Callable[[], bytes]) -> None:
        self._first = first
        self._watchers: set[_Watcher] = set()
        self._is_closed = False
        self._max_watchers = max_watchers(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self.dropped = 0

    @property
    def watchers(self) -> int:
        """The number of clients that read."""
        return len(self._watchers)

    def publish(self, event: bytes) -> None:
        """Send one event to all watchers, and close those that are too far behind."""
        for watcher in [each for each in self._watchers if not each.offer(event)]:
            self._watchers.discard(watcher)
            self.dropped += 1
            watcher.close()

    def close(self) -> None:
        """End all streams: the relay stops."""
        self._is_closed = True
        for watcher in list(self._watchers):
            watcher.close()
        self._watchers.clear()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send events until the client leaves."""
        if self._is_closed or self.watchers >= self._max_watchers:
            problem = "the relay stops" if self._is_closed else f"{self.watchers} pages watch already"
            answer = json_response({"error": f"{problem}; accepted are {self._max_watchers} at a time"}, 503)
            answer.headers["Retry-After"] = "5"
            return answer
        response = web.StreamResponse(headers=HEADERS)
        response.content_type, response.charset = "text/event-stream", "utf-8"
        if request.method == "HEAD":
            return response
        watcher = _Watcher(request)
        self._watchers.add(watcher)
        try:
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RETRY_MILLISECONDS + self._first())
            while True:
                note_progress(request)
                await response.write(await watcher.events.get())
        except ConnectionError:  # the client has gone
            return response
        finally:
            self._watchers.discard(watcher)
