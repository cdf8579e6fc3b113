"""Socket addresses as the kernel lays them out (struct sockaddr_in and sockaddr_in6; ip(7), ipv6(7)).

The raw bytes are a sender's key. The kernel writes the same bytes for the same sender: it clears sin_zero, and the flow
label unless a socket asks for it.
"""

from __future__ import annotations

import socket
import struct

# Family, port; then the address, or flow label, address and scope.
NAME_V4 = struct.Struct("=H2s4s8x")
NAME_V6 = struct.Struct("=H2s4x16sI")
# A key omits the trailing zeros.
KEY_V4_BYTES = 8
_ADDRESS_V4, _ADDRESS_V6 = slice(4, 8), slice(8, 24)

Sender = tuple[str, int] | tuple[str, int, int, int]


def name_bytes(family: int) -> int:
    """Return the length of the kernel's name of a sender."""
    return NAME_V6.size if family == socket.AF_INET6 else NAME_V4.size


def key_bytes(family: int) -> int:
    """Return the length of the part of a name that identifies the sender."""
    return NAME_V6.size if family == socket.AF_INET6 else KEY_V4_BYTES


def source_of(key: bytes) -> tuple[bytes, int]:
    """Return the packed address and the port of a name or key."""
    return key[_ADDRESS_V4] if len(key) < NAME_V6.size else key[_ADDRESS_V6], key[2] << 8 | key[3]


def name_of(sender: Sender) -> bytes:
    """Convert a sender from the form of Python's `socket` into the kernel's bytes."""
    host, port, *more = sender
    if not more:
        return NAME_V4.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(str(host)))
    packed = socket.inet_pton(socket.AF_INET6, str(host).partition("%")[0])
    return NAME_V6.pack(socket.AF_INET6, port.to_bytes(2, "big"), packed, more[1])


def sender_of(name: bytes) -> Sender:
    """Convert a name or key into the form of Python's `socket`."""
    host_bytes, port = source_of(name)
    if len(name) < NAME_V6.size:
        return socket.inet_ntoa(host_bytes), port
    return socket.inet_ntop(socket.AF_INET6, host_bytes), port, 0, NAME_V6.unpack(name)[-1]
