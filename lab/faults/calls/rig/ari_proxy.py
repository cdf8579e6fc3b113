"""A TCP proxy between relay and Asterisk that breaks connections with a reset or silently drops all bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

from lab.base.places import LOOPBACK
from lab.faults.calls.places import ARI_PORT, PROXY_PORT

_CHUNK_BYTES = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


class AriProxy:
    """A proxy that forwards every byte until a fault. It acts like a firewall, without any change of the machine's."""

    def __init__(self, listen_port: int = PROXY_PORT, target_port: int = ARI_PORT) -> None:
        self.listen_port = listen_port
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._swallowed: set[asyncio.Task[None]] = set()
        self._swallowing = False

    async def start(self) -> None:
        """Start listening."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.listen_port)
        self.listen_port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all connections and stop listening."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def reset(self) -> None:
        """Reset every connection; new ones are forwarded at once."""
        for writers in list(self._open.values()):
            for writer in writers:
                raw = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()

    def swallow(self) -> None:
        """Drop all bytes in both directions while connections stay open; new connections hang as well."""
        self._swallowing = True
        self._swallowed |= set(self._open)

    def heal(self) -> None:
        """Forward new connections again. Old ones stay silent, as behind a firewall that lost their state."""
        self._swallowing = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a connection is served by a task")
        self._open[task] = [writer]
        if self._swallowing:
            self._swallowed.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):  # broken by either end, or closed with the proxy
            there, onward = await asyncio.open_connection(LOOPBACK, self._target_port)
            self._open[task].append(onward)
            await self._forward_both(task, (reader, onward), (there, writer))
        for each in self._open.pop(task):
            each.close()
        self._swallowed.discard(task)

    async def _forward_both(
        self, task: asyncio.Task[None], *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        """Forward both directions; the end of one ends the other."""
        passing = [asyncio.create_task(_forward(*way, lambda: task in self._swallowed)) for way in ways]
        try:
            await asyncio.gather(*passing)
        finally:
            for each in passing:
                each.cancel()
            await asyncio.gather(*passing, return_exceptions=True)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_silent: Callable[[], bool]) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        if is_silent():
            continue
        writer.write(chunk)
        await writer.drain()
    if is_silent():
        # The end of the other side is dropped as well.
        await asyncio.Event().wait()
    with contextlib.suppress(OSError):
        writer.write_eof()
