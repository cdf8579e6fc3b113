"""TCP sockets that read little at once.

asyncio passes 256 KiB to every `recv`. Python allocates them for each read, and then shrinks the block to the few bytes
that have arrived. Hundreds of such reads a minute leave holes all over the heap, which grows by them for hours.
"""

from __future__ import annotations

import socket

MAX_READ_BYTES = 16 << 10


class SmallReads(socket.socket):
    """A socket whose `recv` returns at most `MAX_READ_BYTES`. The rest stays in the socket for the next read."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive at most this many bytes, and at most `MAX_READ_BYTES`."""
        return super().recv(min(size, MAX_READ_BYTES), flags)

    @classmethod
    def over(cls, accepted: socket.socket) -> SmallReads:
        """Return a socket over the descriptor of an accepted one, which no longer owns it."""
        return cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
