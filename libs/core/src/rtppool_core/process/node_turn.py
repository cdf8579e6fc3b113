"""Turns of a program on a node: one process serves, and the next one stands by until the former has left.

A turn is a listening Unix socket with an abstract name (unix(7)), so processes that share a network namespace share it.
The kernel takes it away at the end of its process, however that ends. The next process is connected to it meanwhile,
and the end of this connection wakes it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable

log = logging.getLogger(__name__)

# A rollout deletes the former pod when the next one is ready, within seconds. The former process answers the probes of
# both, unless their endpoints differ: then the rollout waits for this process, which asks the former one to leave.
ASK_AFTER_SECONDS = 20.0
MAX_WAITING = 8
MAX_ENDPOINT_BYTES = 100
_RETRY_SECONDS = 0.05
_LEAVE = b"leave"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


class NodeTurn:
    """The turn of one program under a name that all its processes on the node share.

    `endpoint` names the place where the process will answer probes. `users` may hold the turn and ask its holder to
    leave: by default root and the user of this process. Any user may wait.
    """

    def __init__(
        self,
        name: str,
        endpoint: str = "",
        ask_after_seconds: float = ASK_AFTER_SECONDS,
        users: frozenset[int] | None = None,
    ) -> None:
        self._name = name
        self._address = f"\0{name}"
        self._endpoint = endpoint.encode()[:MAX_ENDPOINT_BYTES]
        self._ask_after_seconds = ask_after_seconds
        self._users = frozenset({0, os.geteuid()}) if users is None else users
        self._server: asyncio.Server | None = None
        self._waiting: set[asyncio.Transport] = set()
        self._released = False

    async def take(self, leave: Callable[[], None]) -> None:
        """Wait until the former process has left, and hold the turn from then on.

        `leave` is called when the next process asks this one to leave. A holder of another user is none of the
        program's processes: it is logged, and not waited for.
        """
        said = False
        while (listener := self._listening_socket()) is None:
            if not said:
                log.info("standing by until the former process of %s has left", self._name)
                said = True
            if not await self._wait_for_former():
                log.error("a process of another user holds the turn of %s; this one serves without it", self._name)
                return

        def asked() -> None:
            log.warning("the next process of %s asks this one to leave", self._name)
            leave()

        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _NextProcess(self, asked), sock=listener)

    def keep(self, transport: asyncio.Transport) -> bool:
        """Keep the connection of a process that stands by; return False where it must be closed."""
        if self._released or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.add(transport)
        transport.write(self._endpoint + b"\n")
        return True

    def may_ask(self, transport: asyncio.Transport) -> bool:
        """Return whether the process at the other end may ask this one to leave."""
        return _user_of(transport) in self._users

    def forget(self, transport: asyncio.Transport) -> None:
        """Forget a connection that has ended."""
        self._waiting.discard(transport)

    def release(self) -> None:
        """Let the next process serve. The end of this process does so as well."""
        self._released = True
        if self._server is not None:
            self._server.close()
        for transport in self._waiting:
            transport.abort()

    def _listening_socket(self) -> socket.socket | None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(self._address)
            listener.listen(MAX_WAITING)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
            return None
        return listener

    async def _wait_for_former(self) -> bool:
        """Wait until the former process has left. Return False where the holder is of another user."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._address, limit=MAX_ENDPOINT_BYTES + 1)
        except OSError:  # It has just left, or has too many connections.
            await asyncio.sleep(_RETRY_SECONDS)
            return True
        try:
            if _user_of(writer.transport) not in self._users:
                return False
            endpoint = await _first_line(reader)
            if endpoint is None:  # It leaves, or keeps enough connections.
                await asyncio.sleep(_RETRY_SECONDS)
                return True
            if endpoint == self._endpoint:
                await _until_closed(reader)
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._ask_after_seconds):
                    await _until_closed(reader)
                    return True
            log.warning("the former process of %s answers probes elsewhere, and is asked to leave", self._name)
            writer.write(_LEAVE)
            await _until_closed(reader)
        finally:
            writer.close()
        return True


class _NextProcess(asyncio.Protocol):
    """The connection of a process that stands by."""

    def __init__(self, turn: NodeTurn, asked: Callable[[], None]) -> None:
        self._turn = turn
        self._asked = asked
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        if self._turn.keep(transport):
            self._transport = transport
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or data != _LEAVE:
            return
        if self._turn.may_ask(self._transport):
            self._asked()
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's signature
        if self._transport is not None:
            self._turn.forget(self._transport)


async def _first_line(reader: asyncio.StreamReader) -> bytes | None:
    """Return the line without its end; None where the connection ends before."""
    try:
        return (await reader.readuntil(b"\n")).rstrip(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(len(_LEAVE)):
            pass


def _user_of(transport: asyncio.BaseTransport) -> int:
    """Return the user id of the process at the other end."""
    peer = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(peer)
    return int(user)
