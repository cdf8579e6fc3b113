"""Names of senders as the kernel writes them."""

from __future__ import annotations

import socket
import struct

import numpy as np
from numpy.typing import NDArray


def name_bytes(host: str, port: int, scope: int = 0) -> bytes:
    """A struct sockaddr_in or sockaddr_in6 in the 32 bytes of an envelope."""
    if ":" in host:
        address = socket.inet_pton(socket.AF_INET6, host)
        name = struct.pack("=H2s4x16sI", socket.AF_INET6, port.to_bytes(2, "big"), address, scope)
    else:
        name = struct.pack("=H2s4s", socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(host))
    return name.ljust(32, b"\0")


def name_words(host: str, port: int, scope: int = 0) -> NDArray[np.int64]:
    return np.frombuffer(name_bytes(host, port, scope), np.int64).copy()
