"""Who is answered: the rules that keep an echo from becoming a loop or a reflector. Pure.

An answer is as long as its question, so the echo never amplifies; these rules keep it from being the other half of a
loop (another echo, or a service such as DNS or SIP whose address was forged). What slips through them ends by the hop
limit, which every answer lowers (`ancillary`).

A sender with an address of this machine is answered, unless its port is the echo's own: the relay on the same node is
such a sender. From outside, the kernel takes no such IPv4 sender (martian sources, RFC 1812 section 5.3.7).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from rtppool_core.contract.port_range import REFLECTOR_PORTS
from rtppool_core.rtp import header as rtp

MIN_ANSWERED_PORT = 1024
REASON_OWN_PORT = "own_port"
REASON_PRIVILEGED_PORT = "privileged_port"
REASON_REFLECTOR_PORT = "reflector_port"
REASON_SOURCE_ADDRESS = "source_address"
REASON_NOT_ALLOWED = "not_allowed"
REASON_RATE = "rate"
REASON_ADDRESS_RATE = "address_rate"
REASON_TABLE_FULL = "table_full"
REASON_DESTINATION = "destination"
REASON_HOP_LIMIT = "hop_limit"
REASON_SEND_FULL = "send_full"
REASON_SEND_ERROR = "send_error"
# Why a datagram is not answered; each is a metric's label.
REASONS = (
    *rtp.REASONS,
    REASON_OWN_PORT,
    REASON_PRIVILEGED_PORT,
    REASON_REFLECTOR_PORT,
    REASON_SOURCE_ADDRESS,
    REASON_NOT_ALLOWED,
    REASON_RATE,
    REASON_ADDRESS_RATE,
    REASON_TABLE_FULL,
    REASON_DESTINATION,
    REASON_HOP_LIMIT,
    REASON_SEND_FULL,
    REASON_SEND_ERROR,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV4_BYTES = 4
_MAPPED = bytes(10) + b"\xff\xff"
_FIRST_MULTICAST_V4, _LAST_MULTICAST_V4, _MULTICAST_V6 = 224, 239, 255
_BROADCAST = b"\xff" * _IPV4_BYTES


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What is known about senders: the echo's own port, and the networks that it serves (empty: all)."""

    own_port: int
    allow: tuple[Network, ...] = ()
    _masks: tuple[tuple[int, int, int], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        masks = tuple((len(of.network_address.packed), int(of.netmask), int(of.network_address)) for of in self.allow)
        object.__setattr__(self, "_masks", masks)

    def refusal(self, address: bytes, port: int) -> str | None:
        """Why a sender is not answered (one of `REASONS`), or None. `address` is packed: 4 or 16 bytes."""
        if port == self.own_port:
            return REASON_OWN_PORT
        if port < MIN_ANSWERED_PORT:
            return REASON_PRIVILEGED_PORT
        if port in REFLECTOR_PORTS:
            return REASON_REFLECTOR_PORT
        plain = plain_address(address)
        if _is_nobody(plain):
            return REASON_SOURCE_ADDRESS
        if self._masks and not self._allows(plain):
            return REASON_NOT_ALLOWED
        return None

    def _allows(self, address: bytes) -> bool:
        size, number = len(address), int.from_bytes(address, "big")
        return any(size == of and number & mask == network for of, mask, network in self._masks)


def plain_address(address: bytes) -> bytes:
    """An IPv4 sender as such, also where it came through a dual-stack socket (`::ffff:192.0.2.1`)."""
    return address.removeprefix(_MAPPED)


def _is_nobody(address: bytes) -> bool:
    """Multicast, broadcast or unspecified: no sender has such an address."""
    if not any(address):
        return True
    if len(address) == _IPV4_BYTES:
        return _FIRST_MULTICAST_V4 <= address[0] <= _LAST_MULTICAST_V4 or address == _BROADCAST
    return address[0] == _MULTICAST_V6
