"""UDP sockets of a test: a caller, an Asterisk, an echo."""

from __future__ import annotations

import asyncio
import socket

from rtppool_core.net.udp import family_of

MAX_DATAGRAM_BYTES = 65_535


def udp_socket(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a non-blocking UDP socket bound to `host` and `port`; port 0 lets the kernel choose."""
    sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
    sock.bind((host, port))
    sock.setblocking(False)  # noqa: FBT003 the socket module's own signature
    return sock


def address_of(sock: socket.socket) -> tuple[str, int]:
    """Return the host and port that `sock` is bound to."""
    host, port, *_ = sock.getsockname()
    return str(host), int(port)


async def receive(sock: socket.socket, within_seconds: float = 30.0) -> bytes:
    """Return the next datagram.

    Raises:
        TimeoutError: none came within `within_seconds`.
    """
    async with asyncio.timeout(within_seconds):
        return await asyncio.get_running_loop().sock_recv(sock, MAX_DATAGRAM_BYTES)


def received(sock: socket.socket) -> bytes | None:
    """Return the datagram that waits in `sock`, or None."""
    try:
        return sock.recv(MAX_DATAGRAM_BYTES)
    except BlockingIOError:
        return None
