"""The relay's addresses: bound, advertised to Asterisk, and observed on the connection to Asterisk.

Name resolution may take seconds. It runs outside call set-up and never blocks the event loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rtppool_core.net.hosts import RESOLVER_ERRORS, describe_resolver_error
from rtppool_core.net.udp import family_of

REFRESH_SECONDS = 60.0
RETRY_SECONDS = 2.0
# RFC 863. Connecting a UDP socket selects a route and sends nothing.
DISCARD_PORT = 9
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
UNSPECIFIED = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class OwnAddress:
    """The relay's address towards Asterisk at `host`.

    It is the address of the last ARI connection. Before the first one it is the source address on the route to `host`.
    A host may have addresses of both families. Then the relay has one of each, and uses one that the echo has, too.

    `address` is None until it is known; `reason` then says why. A literal IP address as `host` needs no resolution.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._observed: str | None = None
        self._routed: tuple[str, ...] = ()
        self._families: frozenset[socket.AddressFamily] = frozenset()
        self.address: str | None = None
        self.reason: str | None = f"our address on the route to {host} is not known yet"
        if _is_address(host):
            self._route([(family_of(host), (host, DISCARD_PORT))])

    @property
    def is_observed(self) -> bool:
        """Whether the address is that of a connection to Asterisk."""
        return self.address is not None and self.address == self._observed

    def observe(self, address: str) -> None:
        """Note this end of a connection to Asterisk. A link-local IPv6 address is ignored: it needs a zone."""
        parsed = ipaddress.ip_address(address.partition("%")[0])
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        if not (isinstance(parsed, ipaddress.IPv6Address) and parsed.is_link_local):
            self._observed, self.reason = str(mapped or parsed), None
            self._select()

    def prefer(self, families: Collection[socket.AddressFamily]) -> None:
        """Use an address of one of these families, which are those of the echo, if there is one."""
        self._families = frozenset(families)
        self._select()

    async def run(self, changed: Callable[[], None]) -> None:
        """Refresh the addresses for ever, and call `changed` after each time."""
        while True:
            await self.refresh()
            changed()
            await asyncio.sleep(REFRESH_SECONDS if self.reason is None else RETRY_SECONDS)

    async def refresh(self) -> None:
        """Resolve the host and select routes once. A failure keeps the previous addresses."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, DISCARD_PORT, type=socket.SOCK_DGRAM)
        except RESOLVER_ERRORS as error:
            self._fail(error)
            return
        self._route([(socket.AddressFamily(info[0]), info[4]) for info in found])

    def _route(self, targets: list[tuple[socket.AddressFamily, Any]]) -> None:
        routed: dict[socket.AddressFamily, str] = {}
        for family, target in targets:
            try:
                routed.setdefault(family, _source_address(family, target))
            except OSError as error:
                self._fail(error)
        if routed:
            self._routed, self.reason = tuple(routed.values()), None
            self._select()

    def _select(self) -> None:
        candidates = [self._observed, *self._routed] if self._observed else list(self._routed)
        suitable = [each for each in candidates if family_of(each) in self._families]
        self.address = next(iter(suitable or candidates), None)

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

    def conflict(self) -> str | None:
        """Return a sentence where the bound and the advertised address are of different families, or None."""
        return _conflict(self.bind_ip, self.advertised())

    def family_reason(self) -> str:
        """Return the reason for the address family of the sockets, as the end of a sentence."""
        if not ipaddress.ip_address(self.bind_ip).is_unspecified:
            return f"BIND_IP is {self.bind_ip}"
        if (configured := self.configured()) is not None and _is_address(configured):
            return f"the address that it advertises to Asterisk (ADVERTISE_IP, NODE_IP or the pool's) is {configured}"
        if self.own.address is not None:
            return f"its address towards Asterisk is {self.own.address}"
        return "its address towards Asterisk is not known yet"


def family_name(family: socket.AddressFamily) -> str:
    """Return `IPv4` or `IPv6`."""
    return "IPv6" if family == socket.AF_INET6 else "IPv4"


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


@lru_cache(maxsize=16)
def _conflict(bind_ip: str, advertised: str | None) -> str | None:
    if advertised is None or not _is_address(advertised):
        return None
    if family_of(bound_address(bind_ip, advertised)) == family_of(advertised):
        return None
    ours, other = family_name(family_of(bind_ip)), family_name(family_of(advertised))
    return (
        f"BIND_IP={bind_ip} is {ours}, but Asterisk sends to {advertised}, which is {other}: no call can be "
        "served; set BIND_IP, ADVERTISE_IP and the pool's advertise to addresses of one family"
    )


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
