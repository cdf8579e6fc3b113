"""A queue between Asterisk's websocket and the calls, so that the socket never waits for their work.

Asterisk disconnects a slow reader (`websocket_write_timeout` in ari.conf, 100 ms by default). Until then its own
threads wait for that reader.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, Self

import aiohttp

from rtppool_relay.ari.errors import AriFormatError, AriUnreachable
from rtppool_relay.ari.messages import AriEvent, parse_event

log = logging.getLogger(__name__)

MAX_EVENT_BYTES = 1 << 20
# Other work of the event loop gets a turn in a flood of events.
EVENTS_BETWEEN_TURNS = 64


class EventReader:
    """An asynchronous iterator over the events of one connection, to be used with `async with`.

    At most `max_waiting` events wait. One more closes the connection and ends the iteration with an error. A comparison
    with Asterisk then replaces the lost events. An event that cannot be parsed is left out, logged and counted.
    """

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse[Literal[False]],
        url: str,
        max_waiting: int,
        count_ignored: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._url = url
        self._max_waiting = max_waiting
        self._count_ignored = count_ignored
        self._returned = 0
        self._waiting: asyncio.Queue[AriEvent | None] = asyncio.Queue()
        self._overflowed = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start reading."""
        self._task = asyncio.create_task(self._read(), name="events of Asterisk")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def __aiter__(self) -> Self:
        """Return the iterator over the events, in order of arrival."""
        return self

    async def __anext__(self) -> AriEvent:
        """Return the next event.

        Raises:
            AriUnreachable: too many events waited; the connection was closed.
        """
        self._returned += 1
        if self._returned % EVENTS_BETWEEN_TURNS == 0:
            await asyncio.sleep(0)
        event = None if self._overflowed else await self._waiting.get()
        if self._overflowed:
            raise AriUnreachable(
                f"ARI_URL={self._url}: more than {self._max_waiting} events waited for processing, so the "
                "connection was closed; the calls are compared with Asterisk again. Is this machine overloaded?"
            )
        if event is None:
            raise StopAsyncIteration
        return event

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                event = self._parse(message.data) if message.type is aiohttp.WSMsgType.TEXT else None
                if event is None:
                    continue
                if self._waiting.qsize() >= self._max_waiting:
                    self._overflowed = True
                    await self._socket.close()
                    return
                self._waiting.put_nowait(event)
        except Exception:
            # The iteration ends as after a lost connection, and the session connects again.
            log.exception("the events of Asterisk can't be read")
        finally:
            self._waiting.put_nowait(None)

    def _parse(self, text: bytes) -> AriEvent | None:
        try:
            return parse_event(_decode(text))
        except AriFormatError as error:
            log.warning("an event of Asterisk is ignored: %s", error)
            self._count_ignored()
            return None


def _decode(text: bytes) -> str:
    if len(text) > MAX_EVENT_BYTES:
        raise AriFormatError(f"it has {len(text)} bytes; accepted are {MAX_EVENT_BYTES}")
    return text.decode("utf-8", "replace")
