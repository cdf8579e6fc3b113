"""The relay's addresses: bound, advertised to Asterisk, and found on the route to Asterisk when none is configured.

Name resolution may take seconds. It runs outside call set-up and never blocks the event loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rtppool_core.net.hosts import RESOLVER_ERRORS, describe_resolver_error
from rtppool_core.net.udp import family_of

REFRESH_SECONDS = 60.0
RETRY_SECONDS = 2.0
# RFC 863. Connecting a UDP socket selects a route and sends nothing.
DISCARD_PORT = 9
UNSPECIFIED = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class OwnAddress:
    """The relay's source address on the route to Asterisk at `host`.

    `address` is None until it is known; `reason` then says why. A literal IP address as `host` needs no resolution.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self.address: str | None = None
        self.reason: str | None = f"our address on the route to {host} is not known yet"
        if _is_address(host):
            self._select([(family_of(host), (host, DISCARD_PORT))])

    async def run(self, changed: Callable[[], None]) -> None:
        """Refresh the address for ever, and call `changed` after every change."""
        while True:
            before = self.address
            await self.refresh()
            if self.address != before:
                changed()
            await asyncio.sleep(REFRESH_SECONDS if self.reason is None else RETRY_SECONDS)

    async def refresh(self) -> None:
        """Resolve the host and select a route once. A failure keeps the previous address."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, DISCARD_PORT, type=socket.SOCK_DGRAM)
        except RESOLVER_ERRORS as error:
            self._fail(error)
            return
        self._select([(socket.AddressFamily(info[0]), info[4]) for info in found])

    def _select(self, targets: list[tuple[socket.AddressFamily, Any]]) -> None:
        for family, target in targets:
            try:
                self.address = _source_address(family, target)
            except OSError as error:
                self._fail(error)
            else:
                self.reason = None
                return

    def _fail(self, error: OSError | ValueError) -> None:
        cause = describe_resolver_error(error)
        self.reason = (
            f"our address on the route to {self._host} (the host of ARI_URL) is not known: {cause}; "
            "set ADVERTISE_IP, or the pool's advertise address, to one that Asterisk reaches"
        )


@dataclass(frozen=True, slots=True)
class PortAddresses:
    """The addresses of the relay's ports. `configured` returns the pool's or the environment's advertised address."""

    bind_ip: str
    configured: Callable[[], str | None]
    own: OwnAddress

    def advertised(self) -> str | None:
        """Return the address that Asterisk sends to, or None while it is unknown."""
        return self.configured() or self.own.address

    def bound(self) -> str:
        """Return the address that sockets bind to; see `bound_address`."""
        return bound_address(self.bind_ip, self.advertised())

    def asterisk_side(self) -> str | None:
        """Return the address for a call's socket towards Asterisk where it differs from `bound()`."""
        return _specific_address(self.bind_ip, self.advertised())


def bound_address(bind_ip: str, advertised: str | None) -> str:
    """Return `bind_ip`; an unspecified one is converted to the address family of `advertised`.

    A socket of the other family reaches neither Asterisk nor the echo.
    """
    specific = _specific_address(bind_ip, advertised)
    return bind_ip if specific is None else UNSPECIFIED[family_of(specific)]


def _specific_address(bind_ip: str, advertised: str | None) -> str | None:
    if advertised is None or not _is_address(advertised) or not ipaddress.ip_address(bind_ip).is_unspecified:
        return None
    return advertised


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _source_address(family: socket.AddressFamily, target: Any) -> str:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(target)
        return str(ipaddress.ip_address(sock.getsockname()[0]))
