"""Socket addresses as the kernel lays them out (struct sockaddr_in and sockaddr_in6; ip(7), ipv6(7)), in 64-bit words.

The words are a sender's key. The kernel writes the same bytes for the same sender: it clears sin_zero, and the flow
label unless a socket asks for it. The rest of the four words stays 0.

    IPv4: family (16 bits), port (16, in network order), address (32)
    IPv6: family (16), port (16), flow (32); address (128); scope (32)

Words are little-endian, as on x86-64 and arm64: the first byte of an address is the lowest of its word.
"""

from __future__ import annotations

import socket
from typing import Any

# Bytes of a name.
NAME_V4_BYTES, NAME_V6_BYTES = 16, 28
_AF_INET = int(socket.AF_INET)
_PORT_BITS = 16
_ADDRESS_BITS = 32
_LOW = 0xFFFF_FFFF
# The lower half of the second word of an IPv4-mapped address: two bytes of 0 and two of 255.
_MAPPED = 0xFFFF_0000


def address_bytes(key: memoryview) -> bytes:
    """Return the packed address of the key that a buffer begins with; that of IPv4 where it is mapped to IPv6."""
    packed = key.cast("B")
    if is_ipv4(key, 0):
        return bytes(packed[4:8] if key[0] & 0xFFFF == _AF_INET else packed[20:24])
    return bytes(packed[8:24])


def port_of(key: Any, at: int) -> int:
    """Return the port."""
    swapped = (key[at] >> _PORT_BITS) & 0xFFFF
    return (swapped & 0xFF) << 8 | swapped >> 8  # type: ignore[no-any-return]


def is_ipv4(key: Any, at: int) -> bool:
    """Return whether the address is one of IPv4, also where it is mapped to IPv6 (`::ffff:192.0.2.1`)."""
    if key[at] & 0xFFFF == _AF_INET:
        return True
    return bool(key[at + 1] == 0 and key[at + 2] & _LOW == _MAPPED)


def ipv4_of(key: Any, at: int) -> int:
    """Return an IPv4 address as a number, its first byte lowest."""
    word = key[at] if key[at] & 0xFFFF == _AF_INET else key[at + 2]
    return (word >> _ADDRESS_BITS) & _LOW  # type: ignore[no-any-return]
