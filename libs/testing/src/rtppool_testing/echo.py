"""An echo without rules: every datagram goes back to its sender."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

# socket(7); Python lacks the name.
_SO_RCVBUFFORCE = 33
# A second of 100 calls: the loop of a test may stand still that long on a busy machine.
_ROOM_BYTES = 4 << 20


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._transport.sendto(data, address)


@asynccontextmanager
async def echo(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Run an echo on `host` and yield its port."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Echo, local_addr=(host, 0))
    with contextlib.suppress(PermissionError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM_BYTES)
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
