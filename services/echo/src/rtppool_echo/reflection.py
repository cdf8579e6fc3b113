"""Who is answered: the rules that keep an echo from becoming a loop or a reflector. Pure.

An answer is as long as its question, so the echo never amplifies; these rules keep it from being the other half of a
loop (another echo, or a service such as DNS or NTP whose address was forged).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from rtppool_core import rtp

LOWEST_ANSWERED_PORT = 1024

REASON_OWN_PORT = "own_port"
REASON_PRIVILEGED_PORT = "privileged_port"
REASON_SOURCE_ADDRESS = "source_address"
REASON_NOT_ALLOWED = "not_allowed"
REASON_DESTINATION = "destination"
REASON_SEND_FULL = "send_full"
REASON_SEND_ERROR = "send_error"
# Why a datagram is not answered; each is a metric's label.
REASONS = (
    *rtp.REASONS,
    REASON_OWN_PORT,
    REASON_PRIVILEGED_PORT,
    REASON_SOURCE_ADDRESS,
    REASON_NOT_ALLOWED,
    REASON_DESTINATION,
    REASON_SEND_FULL,
    REASON_SEND_ERROR,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What is known about senders: the echo's own port, and the networks that it serves (empty: all)."""

    own_port: int
    allow: tuple[Network, ...] = ()

    def refusal(self, host: str, port: int) -> str | None:
        """Why a sender is not answered (one of `REASONS`), or None. `host` is an address as the kernel gives it."""
        if port == self.own_port:
            return REASON_OWN_PORT
        if port < LOWEST_ANSWERED_PORT:
            return REASON_PRIVILEGED_PORT
        address = _plain(ipaddress.ip_address(host))
        if address.is_multicast or address.is_unspecified or address == _BROADCAST:
            return REASON_SOURCE_ADDRESS
        if self.allow and not any(address in network for network in self.allow):
            return REASON_NOT_ALLOWED
        return None


_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 sender as such, also where it came through a dual-stack socket (`::ffff:192.0.2.1`).

    A scope (`fe80::1%eth0`) is taken off: networks are written without.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
