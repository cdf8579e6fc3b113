"""The rules about the source of a datagram, which prevent loops and reflection.

An answer is as long as its question, so the echo never amplifies. The rules keep the echo from being one half of a
loop with another echo, or with a service such as DNS or SIP whose address was forged. A loop that passes them ends
when a packet comes back that was just answered (`rules.recent_answers`). Without `ECHO_RTP_ONLY`, datagrams that are
not RTP pass this rule too; between two echoes of this kind the hop limit ends their loop (`messages.ancillary`).

A sender with an address of this machine is answered, unless its port is the echo's own: the relay on the same node is
such a sender. From other machines the kernel accepts no such IPv4 sender (martian sources, RFC 1812 section 5.3.7).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from rtppool_core.contract.port_range import REFLECTOR_PORTS
from rtppool_echo.rules.refusals import (
    NOT_REFUSED,
    REASON_NOT_ALLOWED,
    REASON_OWN_PORT,
    REASON_PRIVILEGED_PORT,
    REASON_REFLECTOR_PORT,
    REASON_SOURCE_ADDRESS,
    place_of,
)
from rtppool_echo.socket_name import ipv4_of, is_ipv4, port_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MIN_ANSWERED_PORT = 1024
# A network: its IP version, its mask, and its address. The number of networks precedes them.
NETWORK_WORDS = 5

_REFLECTOR_PORTS = tuple(sorted(REFLECTOR_PORTS))
_OWN_PORT = place_of(REASON_OWN_PORT)
_PRIVILEGED_PORT = place_of(REASON_PRIVILEGED_PORT)
_REFLECTOR_PORT = place_of(REASON_REFLECTOR_PORT)
_SOURCE_ADDRESS = place_of(REASON_SOURCE_ADDRESS)
_NOT_ALLOWED = place_of(REASON_NOT_ALLOWED)
_V4, _V6 = 4, 6
_FIRST_MULTICAST_V4, _LAST_MULTICAST_V4, _MULTICAST_V6 = 224, 239, 255
_BROADCAST = 0xFFFF_FFFF


def networks_in_words(allow: Sequence[Network]) -> list[int]:
    """Return networks as `refusal_of_source` reads them. None at all means every network."""
    words = [len(allow)]
    for network in allow:
        words += [network.version, *_in_words(network.netmask), *_in_words(network.network_address)]
    return words


def _in_words(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[int]:
    """Return an address as two words, its first byte lowest."""
    packed = address.packed.ljust(16, b"\0")
    return [int.from_bytes(half, "little", signed=True) for half in (packed[:8], packed[8:])]


def refusal_of_source(key: Any, at: int, own_port: int, networks: Any) -> int:
    """Return the place of the reason to refuse a sender, or `NOT_REFUSED`."""
    port = port_of(key, at)
    if port == own_port:
        return _OWN_PORT
    if port < MIN_ANSWERED_PORT:
        return _PRIVILEGED_PORT
    for each in _REFLECTOR_PORTS:
        if port == each:
            return _REFLECTOR_PORT
    if is_ipv4(key, at):
        version, high, low = _V4, ipv4_of(key, at), 0
        can_send = high not in (0, _BROADCAST) and not _FIRST_MULTICAST_V4 <= high & 0xFF <= _LAST_MULTICAST_V4
    else:
        version, high, low = _V6, key[at + 1], key[at + 2]
        can_send = (high != 0 or low != 0) and high & 0xFF != _MULTICAST_V6
    if not can_send:
        return _SOURCE_ADDRESS
    if networks[0] and not _allows(networks, version, high, low):
        return _NOT_ALLOWED
    return NOT_REFUSED


def _allows(networks: Any, version: int, high: int, low: int) -> bool:
    for number in range(networks[0]):
        at = 1 + number * NETWORK_WORDS
        if (
            networks[at] == version
            and high & networks[at + 1] == networks[at + 3]
            and low & networks[at + 2] == networks[at + 4]
        ):
            return True
    return False
