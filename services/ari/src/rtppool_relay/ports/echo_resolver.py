"""Resolution of the echo's name: on change, after an error, and every 30 s; never in the packet path."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from rtppool_core.contract.pools_file import EchoTarget
from rtppool_core.net.hosts import RESOLVER_ERRORS, describe_resolver_error
from rtppool_core.net.udp import host_port

log = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0
RETRY_SECONDS = 2.0


class EchoResolver:
    """The echo's address. While `reason` is set, `address` is the last known one, of the target `resolved`."""

    def __init__(self, target: EchoTarget, family: socket.AddressFamily) -> None:
        self.target = target
        self.family = family
        self.address: tuple[str, int] | None = None
        self.resolved: EchoTarget | None = None
        self.reason: str | None = None
        self._retargeted = asyncio.Event()

    def retarget(self, target: EchoTarget, family: socket.AddressFamily) -> None:
        """Resolve another target at once. An address of another family is dropped."""
        if family != self.family:
            self.address = self.resolved = None
        if (target, family) != (self.target, self.family):
            self.target, self.family = target, family
            self._retargeted.set()

    async def run(self, changed: Callable[[], Awaitable[bool]]) -> None:
        """Resolve for ever. Await `changed` after every change, and again every 2 s while it returns False."""
        applied: tuple[str, int] | None = None
        done = True
        while True:
            self._retargeted.clear()
            await self.resolve()
            if self.address != applied or not done:
                applied = self.address
                done = await changed()
            pause = REFRESH_SECONDS if done and self.reason is None else RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._retargeted.wait()
            except TimeoutError:
                continue

    async def resolve(self) -> None:
        """Resolve the target once. The address in use is kept for as long as the name still has it."""
        target, family = self.target, self.family
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                target.host, target.port, family=family, type=socket.SOCK_DGRAM
            )
        except RESOLVER_ERRORS as error:
            if (target, family) == (self.target, self.family):
                self._fail(target, describe_resolver_error(error))
            return
        if (target, family) != (self.target, self.family):
            return  # retargeted meanwhile: `run` resolves the new target next
        addresses = [(str(each[4][0]), int(each[4][1])) for each in found]
        if self.address not in addresses:
            self.address = addresses[0]
        self.resolved, self.reason = target, None

    def _fail(self, target: EchoTarget, cause: str) -> None:
        reason = f"echo.host {target.host!r} can't be resolved ({cause}); is the name right?"
        if self.address is not None:
            reason += f" Packets go to {host_port(*self.address)} ({self.resolved}) as before"
        if reason != self.reason:
            log.warning("%s", reason)
        self.reason = reason
