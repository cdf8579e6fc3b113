"""Asterisk's RTP addresses and ports, as calls have shown them. The relay cannot read Asterisk's configuration."""

from __future__ import annotations

import ipaddress
from collections import deque
from dataclasses import dataclass, field

REMEMBERED_PORTS = 500


@dataclass(frozen=True, slots=True)
class AddressMismatch:
    """Asterisk sends to `advertised`, but the relay's packets to `asterisk` leave from `source`."""

    asterisk: str
    advertised: str
    source: str


@dataclass(slots=True)
class AsteriskEndpoints:
    """RTP ports of an Asterisk on this host, and the last call's address mismatch, if it had one."""

    mismatch: AddressMismatch | None = None
    _ports: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED_PORTS))

    def record(self, asterisk: tuple[str, int], source: str, advertised: str) -> None:
        """Record one call: its Asterisk endpoint, the relay's source address towards it, and the advertised address."""
        address, port = asterisk
        there, here, announced = _parse(address), _parse(source), _parse(advertised)
        if there is not None and (there == here or there.is_loopback):
            self._ports.append(port)
        # Asterisk resolves an advertised name itself, so a name cannot be compared here.
        differs = announced is not None and announced != here
        self.mismatch = AddressMismatch(address, advertised, source) if differs else None

    @property
    def local_ports(self) -> tuple[int, int] | None:
        """The lowest and the highest RTP port on this host, or None before the first call."""
        return (min(self._ports), max(self._ports)) if self._ports else None


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
