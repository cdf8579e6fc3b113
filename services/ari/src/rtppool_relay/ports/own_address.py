"""Our own address on the route to Asterisk, for a relay that nobody told one.

Looked up off the way of calls: a name may take seconds to resolve, and the event loop must not wait for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from rtppool_core.net.udp import family_of

REFRESH_SECONDS = 60.0
RETRY_SECONDS = 2.0
# Nothing is sent to it (RFC 863's port); connecting a UDP socket only asks for the route.
DISCARD_PORT = 9
UNSPECIFIED = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class OwnAddress:
    """`address` as Asterisk at `host` sees it; None before it is known, then `reason` is a sentence.

    Where `host` is an address, it is known at once.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self.address: str | None = None
        self.reason: str | None = f"our address on the route to {host} is not known yet"
        if _is_address(host):
            self._take([(family_of(host), (host, DISCARD_PORT))])

    async def run(self, changed: Callable[[], None]) -> None:
        """Look for ever; `changed` is called with every other address."""
        while True:
            before = self.address
            await self.look()
            if self.address != before:
                changed()
            await asyncio.sleep(REFRESH_SECONDS if self.reason is None else RETRY_SECONDS)

    async def look(self) -> None:
        """Look once. What was found before is kept while nothing is found."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, DISCARD_PORT, type=socket.SOCK_DGRAM)
        except OSError as error:
            self._fail(f"{error.strerror or error}")
            return
        self._take([(socket.AddressFamily(info[0]), info[4]) for info in found])

    def _take(self, targets: list[tuple[socket.AddressFamily, Any]]) -> None:
        for family, target in targets:
            try:
                self.address = _source_towards(family, target)
            except OSError as error:
                self._fail(f"{error.strerror or error}")
            else:
                self.reason = None
                return

    def _fail(self, why: str) -> None:
        self.reason = (
            f"our address on the route to {self._host} (the host of ARI_URL) is not known: {why}; "
            "set ADVERTISE_IP, or the pool's advertise address, to what Asterisk reaches"
        )


def bound_address(bind_ip: str, advertised: str | None) -> str:
    """What sockets are bound to: `bind_ip`, but where it is unspecified, in the family that Asterisk is told.

    A socket of the other family reaches neither an Asterisk nor an echo of this one.
    """
    heard_at = hearing_address(bind_ip, advertised)
    return bind_ip if heard_at is None else UNSPECIFIED[family_of(heard_at)]


def hearing_address(bind_ip: str, advertised: str | None) -> str | None:
    """Where a call's socket towards Asterisk has to hear, if that is another address than the bound one."""
    if advertised is None or not _is_address(advertised) or not ipaddress.ip_address(bind_ip).is_unspecified:
        return None
    return advertised


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _source_towards(family: socket.AddressFamily, target: Any) -> str:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(target)
        return str(ipaddress.ip_address(sock.getsockname()[0]))
