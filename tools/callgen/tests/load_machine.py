"""Places on this machine that are free for a load."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports() -> tuple[int, int, int]:
    """The relay's and the echo's HTTP and the echo's UDP port, all free at this moment."""
    with ExitStack() as held:
        kinds = (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
        sockets = [held.enter_context(socket.socket(socket.AF_INET, kind)) for kind in kinds]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        http, echo_http, echo = (int(each.getsockname()[1]) for each in sockets)
        return http, echo_http, echo


def free_range(ports: int) -> str:
    """Ports in a row that nobody holds at this moment, below those that the kernel hands out."""
    for start in range(23_000, 30_000, ports):
        with ExitStack() as held:
            try:
                for port in range(start, start + ports):
                    held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"{start}-{start + ports - 1}"
    raise AssertionError("no free ports")
