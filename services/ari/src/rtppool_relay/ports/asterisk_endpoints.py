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


@dataclass(frozen=True, slots=True)
class TranslatedSource:
    """RTP for the relay's `port` comes from `observed`, but Asterisk announced `announced`. Both are `ADDRESS:PORT`."""

    port: int
    announced: str
    observed: str

    def __str__(self) -> str:
        return (
            f"no RTP has come from {self.announced}, which Asterisk announced, but RTP for port {self.port} comes from "
            f"{self.observed}, where the relay accepts and sends none: a NAT or a container network translates "
            "Asterisk's packets; give Asterisk the host's network or a route to the relay without NAT (rtp_symmetric "
            "does not help here), and set ADVERTISE_IP or the pool's advertise to an address on that route"
        )


@dataclass(slots=True)
class AsteriskEndpoints:
    """RTP ports of an Asterisk on this host, and mismatches of addresses that calls have shown.

    `mismatch` is that of the last call. `translated` stays until packets of a later call arrive. `observations` is the
    number of ports that are observed at present.
    """

    mismatch: AddressMismatch | None = None
    translated: TranslatedSource | None = None
    observations: int = 0
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
