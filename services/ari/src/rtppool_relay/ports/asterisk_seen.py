"""What calls have shown of Asterisk's addresses and ports; its configuration can't be read from here. Pure."""

from __future__ import annotations

import ipaddress
from collections import deque
from dataclasses import dataclass, field

PORTS_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Misdirected:
    """Asterisk was told `advertised`, and what we send to it at `asterisk` leaves from `source`."""

    asterisk: str
    advertised: str
    source: str


@dataclass(slots=True)
class AsteriskSeen:
    """Of the last calls: RTP ports of an Asterisk on this host, and whether it was told where we are."""

    misdirected: Misdirected | None = None
    _ports: deque[int] = field(default_factory=lambda: deque(maxlen=PORTS_REMEMBERED))

    def note(self, asterisk: tuple[str, int], source: str, advertised: str) -> None:
        """A call's socket was connected to `asterisk` and sends from the address `source`."""
        address, port = asterisk
        there, here, told = _parsed(address), _parsed(source), _parsed(advertised)
        if there is not None and (there == here or there.is_loopback):
            self._ports.append(port)
        # A name is Asterisk's to resolve; nothing is known of what it finds.
        self.misdirected = Misdirected(address, advertised, source) if told is not None and told != here else None

    @property
    def local_ports(self) -> tuple[int, int] | None:
        """The lowest and the highest port on this host; None before there was a call."""
        return (min(self._ports), max(self._ports)) if self._ports else None


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
