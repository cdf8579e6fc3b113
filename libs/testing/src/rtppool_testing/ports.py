"""Free ports of this machine, handed out so that test processes that run side by side do not meet.

The kernel hands out ephemeral ports from 32768 on, and a port that was tried and closed can go to another process at
once. So every worker of pytest-xdist takes its ports from a block of its own below that range. Inside the block each
port is handed out in turn, from a random start: a second run on the same machine begins elsewhere.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

from rtppool_core.contract.port_range import PortRange
from rtppool_core.net.udp import family_of

LOOPBACK = "127.0.0.1"
FIRST_PORT = 12_000
# Ten blocks end at 19,999: the programs of the lab have fixed ports from 20,900 on.
BLOCK = 800
BLOCKS = 10


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that no UDP and no TCP socket holds on `host`."""
    return free_range(1, host).start


def free_range(size: int, host: str = LOOPBACK, beside: PortRange | None = None) -> PortRange:
    """Return `size` free ports in a row, none of them in `beside`.

    Raises:
        AssertionError: this worker's block has no such row.
    """
    block, cursor = _block(), _cursor()
    for _ in range(BLOCK):
        start = next(cursor)
        end = start + size - 1
        if end > block.end or (beside is not None and start <= beside.end and end >= beside.start):
            continue
        if all(_is_free(host, port) for port in range(start, end + 1)):
            for _ in range(size - 1):
                next(cursor)
            return PortRange(start, end)
    raise AssertionError(f"no {size} free ports in a row in {block}")


@cache
def _block() -> PortRange:
    """Return the ports of this worker. A run without workers uses the first block."""
    number = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0"
    start = FIRST_PORT + int(number) % BLOCKS * BLOCK
    return PortRange(start, start + BLOCK - 1)


@cache
def _cursor() -> Iterator[int]:
    ports = range(_block().start, _block().end + 1)
    first = random.randrange(BLOCK)  # noqa: S311 spreads runs, guards nothing
    return itertools.cycle([*ports[first:], *ports[:first]])


def _is_free(host: str, port: int) -> bool:
    with ExitStack() as held:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            try:
                held.enter_context(socket.socket(family_of(host), kind)).bind((host, port))
            except OSError:
                return False
    return True
