"""An echo whose answers a measurement delays or stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lab.base.places import LOOPBACK
from lab.bench.places import ECHO_PORT


class BendingEcho(asyncio.DatagramProtocol):
    """Returns every datagram to its sender, `delay_seconds` later, and none while it is silent."""

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.is_silent = False

    def connection_made(self, transport: Any) -> None:
        """Note the transport."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Return a datagram."""
        if not self.is_silent:
            asyncio.get_running_loop().call_later(self.delay_seconds, self._transport.sendto, data, address)


@asynccontextmanager
async def bending_echo() -> AsyncIterator[BendingEcho]:
    """Run the echo in this process for the length of the block."""
    loop = asyncio.get_running_loop()
    transport, echo = await loop.create_datagram_endpoint(BendingEcho, local_addr=(LOOPBACK, ECHO_PORT))
    try:
        yield echo
    finally:
        transport.close()
