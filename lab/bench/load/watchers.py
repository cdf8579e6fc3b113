"""Watchers of a live page: `python -m lab.bench.load.watchers PORT NUMBER` reads so many streams until its end."""

from __future__ import annotations

import selectors
import socket
import sys

from lab.base.places import LOOPBACK

CHUNK_BYTES = 1 << 20
WATCHING = "watching"


def watch(port: int, number: int) -> None:
    """Read `number` streams of `/events`, and throw the events away. Ends when a stream ends."""
    with selectors.DefaultSelector() as selector:
        for _ in range(number):
            stream = socket.create_connection((LOOPBACK, port))
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: bench\r\n\r\n")
            # The head of the answer, and the history.
            stream.recv(CHUNK_BYTES)
            selector.register(stream, selectors.EVENT_READ)
        print(WATCHING, flush=True)
        while all(
            key.fileobj.recv(CHUNK_BYTES) for key, _ in selector.select() if isinstance(key.fileobj, socket.socket)
        ):
            pass


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
