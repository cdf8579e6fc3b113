"""Reasons to refuse a datagram, and the rules about its source that prevent loops and reflection.

An answer is as long as its question, so the echo never amplifies. The rules keep the echo from being one half of a
loop with another echo, or with a service such as DNS or SIP whose address was forged. A loop that passes them ends
when a packet comes back that was just answered (`rules.recent_answers`). Without `ECHO_RTP_ONLY`, datagrams that are
not RTP pass this rule too; between two echoes of this kind the hop limit ends their loop (`messages.ancillary`).

A sender with an address of this machine is answered, unless its port is the echo's own: the relay on the same node is
such a sender. From other machines the kernel accepts no such IPv4 sender (martian sources, RFC 1812 section 5.3.7).
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
REASON_REPEATED = "repeated"
REASON_SEND_FULL = "send_full"
REASON_SEND_ERROR = "send_error"
# Each is a value of the metric label `reason`.
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
    REASON_REPEATED,
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
    """The echo's own port, and the networks that it serves (empty: all)."""

    own_port: int
    allow: tuple[Network, ...] = ()
    _masks: tuple[tuple[int, int, int], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        masks = tuple((len(of.network_address.packed), int(of.netmask), int(of.network_address)) for of in self.allow)
        object.__setattr__(self, "_masks", masks)

    def refusal(self, address: bytes, port: int) -> str | None:
        """Return the reason to refuse a sender, or None. `address` is packed: 4 or 16 bytes."""
        if port == self.own_port:
            return REASON_OWN_PORT
        if port < MIN_ANSWERED_PORT:
            return REASON_PRIVILEGED_PORT
        if port in REFLECTOR_PORTS:
            return REASON_REFLECTOR_PORT
        source = without_mapping(address)
        if not _can_send(source):
            return REASON_SOURCE_ADDRESS
        if self._masks and not self._allows(source):
            return REASON_NOT_ALLOWED
        return None

    def _allows(self, address: bytes) -> bool:
        size, number = len(address), int.from_bytes(address, "big")
        return any(size == of and number & mask == network for of, mask, network in self._masks)


def without_mapping(address: bytes) -> bytes:
    """Return the IPv4 address in an IPv4-mapped one (`::ffff:192.0.2.1`), any other address unchanged."""
    return address.removeprefix(_MAPPED)


def _can_send(address: bytes) -> bool:
    """Return False for multicast, broadcast and unspecified addresses."""
    if not any(address):
        return False
    if len(address) == _IPV4_BYTES:
        return not (_FIRST_MULTICAST_V4 <= address[0] <= _LAST_MULTICAST_V4 or address == _BROADCAST)
    return address[0] != _MULTICAST_V6
