"""Resolution of the echo's name: on change, after an error, and every 30 s; never in the packet path."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from rtppool_core.contract.pools_file import EchoTarget
from rtppool_core.net.hosts import RESOLVER_ERRORS, describe_resolver_error
from rtppool_core.net.udp import family_of, host_port
from rtppool_relay.ports.own_address import LOOPBACK, family_name

log = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0
RETRY_SECONDS = 2.0
# When no address of a name answers, each of them is used again in turn after this pause.
ALL_SILENT_SECONDS = 5.0


class EchoResolver:
    """The echo's address in one family. While `reason` is set, `address` is the last known one, of `resolved`.

    A name may have several addresses. The one in use stays while the name has it, until `move_on`. A loopback address
    is the echo of this machine, in whichever family the relay's sockets have. `node_echo` is its address where it does
    not listen on loopback.
    """

    def __init__(self, target: EchoTarget, family: socket.AddressFamily, node_echo: str | None = None) -> None:
        self._node_echo = node_echo
        self.target = target
        self.family = family
        self.family_reason = ""
        self.address: tuple[str, int] | None = None
        self.resolved: EchoTarget | None = None
        self._failure: str | None = None
        self._found: tuple[tuple[str, int], ...] = ()
        self._silent: set[tuple[str, int]] = set()
        # Packets still go to the address before, so they prove nothing about the next one.
        self._moving = False
        self._wake = asyncio.Event()

    @property
    def families(self) -> frozenset[socket.AddressFamily]:
        """The address families of the echo, without one whose addresses have all been silent. Empty while unknown."""
        answering = [address for address in self._found if address not in self._silent]
        return frozenset(family_of(address) for address, _ in answering or self._found)

    @property
    def conflict(self) -> str | None:
        """A sentence where the echo has no address of the family of the relay's sockets, or None."""
        if self.resolved != self.target or not self._found or self._usable():
            return None
        other, ours = family_name(family_of(self._found[0][0])), family_name(self.family)
        return (
            f"the echo is {other} (echo.host {self.target.host!r} has only {self._found[0][0]}), and this relay speaks "
            f"{ours}, because {self.family_reason}: no call can be served; set ECHO_HOST or the pool's echo.host to an "
            f"{ours} address of the echo, or ADVERTISE_IP or the pool's advertise to an {other} address"
        )

    @property
    def reason(self) -> str | None:
        """The reason why the address in use is not that of the target, or None."""
        return self._failure or self.conflict

    def retarget(self, target: EchoTarget, family: socket.AddressFamily, family_reason: str = "") -> None:
        """Resolve another target at once. An address of another family is dropped.

        `family_reason` says why the sockets are of this family, as the end of a sentence.
        """
        self.family_reason = family_reason
        changed = (target, family) != (self.target, self.family)
        self.target, self.family = target, family
        if self.address is not None and family_of(self.address[0]) != family:
            self.address = None
        if self.resolved == target:
            self._select()
        if changed:
            self._wake.set()

    def move_on(self) -> bool:
        """Use the next address, because the one in use does not answer; return whether there was one.

        When all have been silent, they are used again in turn after a pause.
        """
        if self.address is None or self.resolved != self.target or self._moving:
            return False
        if self.address not in self._silent:
            # The name may have another address by now.
            self._silent.add(self.address)
            self._wake.set()
        others = [address for address in self._usable() if address not in self._silent]
        if not others:
            return False
        log.warning(
            "the echo at %s does not answer; packets go to its next address",
            host_port(*self.address),
            extra={"fields": {"echo": host_port(*others[0])}},
        )
        self.address = others[0]
        self._moving = True
        return True

    def confirm(self) -> None:
        """Note that the address in use answers. Addresses that were silent may be used again."""
        self._silent.clear()

    async def run(self, changed: Callable[[], Awaitable[bool]]) -> None:
        """Resolve for ever. Await `changed` after every change, and again every 2 s while it returns False."""
        applied: object = None
        done = True
        while True:
            self._wake.clear()
            await self.resolve()
            self._moving = False
            state = (self.address, self._found)
            if state != applied or not done:
                applied = state
                done = await changed()
            pause = REFRESH_SECONDS if done and self._failure is None else RETRY_SECONDS
            if self._all_silent():
                pause = min(pause, ALL_SILENT_SECONDS)
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                if self._all_silent():
                    self._silent.clear()

    async def resolve(self) -> None:
        """Resolve the target once, in both families. The address in use is kept while the name still has it."""
        target = self.target
        try:
            found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
        except RESOLVER_ERRORS as error:
            if target == self.target:
                self._fail(target, describe_resolver_error(error))
            return
        if target != self.target:
            return  # retargeted meanwhile: `run` resolves the new target next
        self._found = tuple(dict.fromkeys((self._own_echo(str(each[4][0])), int(each[4][1])) for each in found))
        if target != self.resolved:
            self._silent.clear()
        self.resolved, self._failure = target, None
        self._select()

    def _usable(self) -> list[tuple[str, int]]:
        usable = [address for address in self._found if family_of(address[0]) == self.family]
        if not usable and any(host in LOOPBACK.values() for host, _ in self._found):
            return [(LOOPBACK[self.family], self._found[0][1])]
        return usable

    def _own_echo(self, host: str) -> str:
        return self._node_echo if self._node_echo is not None and host in LOOPBACK.values() else host

    def _select(self) -> None:
        usable = self._usable()
        if self.address not in usable:
            answering = [address for address in usable if address not in self._silent]
            self.address = next(iter(answering or usable), None)

    def _all_silent(self) -> bool:
        return bool(self._silent) and self._silent.issuperset(self._usable())

    def _fail(self, target: EchoTarget, cause: str) -> None:
        reason = f"echo.host {target.host!r} can't be resolved ({cause}); is the name right?"
        if self.address is not None:
            reason += f" Packets go to {host_port(*self.address)} ({self.resolved}) as before"
        if reason != self._failure:
            log.warning("%s", reason)
        self._failure = reason
