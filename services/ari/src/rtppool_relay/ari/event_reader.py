"""Takes Asterisk's events off the websocket as they come, so that the socket never waits for whoever uses them.

Asterisk cuts a client that reads slowly (`websocket_write_timeout` in ari.conf, 100 ms unless set), and its own
threads wait for that client until then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Self

import aiohttp

from rtppool_relay.ari.errors import AriFormatError, AriUnreachable
from rtppool_relay.ari.messages import Event, parse_event

log = logging.getLogger(__name__)


class EventReader:
    """Use as `async with`, then iterate over the events until the connection ends.

    At most `most_waiting` events wait. With one more the connection is closed and the iteration fails: what events
    can't tell any more, a comparison with Asterisk does.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, url: str, most_waiting: int) -> None:
        self._socket = socket
        self._url = url
        self._most = most_waiting
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue()
        self._overflowed = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to read."""
        self._task = asyncio.create_task(self._read(), name="events of Asterisk")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def __aiter__(self) -> Self:
        """The events, in their order."""
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            AriUnreachable: too many events waited; the connection was closed.
        """
        event = None if self._overflowed else await self._waiting.get()
        if self._overflowed:
            raise AriUnreachable(
                f"ARI_URL={self._url}: more than {self._most} events waited to be used, so the connection was closed; "
                "the calls are compared with Asterisk anew. Is this machine overloaded?"
            )
        if event is None:
            raise StopAsyncIteration
        return event

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                event = _parsed(message)
                if event is None:
                    continue
                if self._waiting.qsize() >= self._most:
                    self._overflowed = True
                    await self._socket.close()
                    return
                self._waiting.put_nowait(event)
        finally:
            self._waiting.put_nowait(None)


def _parsed(message: aiohttp.WSMessage) -> Event | None:
    if message.type is not aiohttp.WSMsgType.TEXT:
        return None
    try:
        return parse_event(message.data)
    except AriFormatError as error:
        log.warning("an event of Asterisk is left out: %s", error)
        return None
