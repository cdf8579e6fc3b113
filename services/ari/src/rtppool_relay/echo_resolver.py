"""Finds the echo's address: on change, on error, and every 30 s; never in the packet path."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from rtppool_core.pool_config import EchoTarget

log = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0
RETRY_SECONDS = 2.0


class EchoResolver:
    """The echo's resolved address. `changed` is awaited with every new one."""

    def __init__(self, target: EchoTarget, family: socket.AddressFamily) -> None:
        self.target = target
        self.family = family
        self.address: tuple[str, int] | None = None
        self.reason: str | None = None
        self._again = asyncio.Event()

    def aim(self, target: EchoTarget, family: socket.AddressFamily) -> None:
        """Resolve another target, at once."""
        if (target, family) != (self.target, self.family):
            self.target, self.family = target, family
            self._again.set()

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Resolve for ever."""
        while True:
            self._again.clear()
            if await self.resolve():
                await changed()
            pause = REFRESH_SECONDS if self.address is not None else RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._again.wait()
            except TimeoutError:
                continue

    async def resolve(self) -> bool:
        """Look the target up once; True when the address is another than before."""
        before, target = self.address, self.target
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                target.host, target.port, family=self.family, type=socket.SOCK_DGRAM
            )
        except OSError as error:
            reason = f"echo.host {target.host!r} can't be resolved ({error.strerror or error}); is the name right?"
            if reason != self.reason:
                log.warning("%s", reason)
            # An address of the same target that worked is better than none.
            self.reason = reason
            if before is not None and before[1] != target.port:
                self.address = None
            return self.address != before
        self.reason = None
        host, port = found[0][4][0], found[0][4][1]
        self.address = (str(host), int(port))
        return self.address != before
