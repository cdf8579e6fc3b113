"""Idle TCP connections to an HTTP port, and the answers that other clients get meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from lab.base.errors import LabError
from lab.base.places import LOOPBACK

HALF_A_HEADER = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Half: "
OPENED_AT_ONCE = 100
OTHER_DESCRIPTORS = 500
ANSWER_SECONDS = 1.0
# For a connection: while the server's queue is full, the kernel tries again after 1, 3 and 7 seconds.
ACCEPT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Answers:
    """Requests that got any status in time, of all that were sent. `slowest_seconds` is of those."""

    answered: int
    sent: int
    slowest_seconds: float

    def __str__(self) -> str:
        """Return the counts and the slowest answer."""
        return f"{self.answered} of {self.sent}, slowest {self.slowest_seconds * 1000:.0f} ms"


@asynccontextmanager
async def idle_connections(port: int, count: int) -> AsyncIterator[list[socket.socket]]:
    """Hold connections to a port of this machine for the length of the block; half of them sent half a header.

    All of them were accepted before the block. A connection that the server ends stays in the list, as its client would
    keep it.

    Raises:
        LabError: this process may not open that many descriptors.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + OTHER_DESCRIPTORS:
        raise LabError(f"the hard limit of open files is {hard}: {count} connections need {count + OTHER_DESCRIPTORS}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held: list[socket.socket] = []
    try:
        for at in range(0, count, OPENED_AT_ONCE):
            opened = [socket.socket() for _ in range(min(OPENED_AT_ONCE, count - at))]
            held += opened
            await _connect(opened, port)
            for each in opened[::2]:
                with contextlib.suppress(OSError):
                    each.send(HALF_A_HEADER)
        # The server accepts connections in their order, so those before an answered one wait no longer in its queue.
        await ask(port, ["/health"], 1, within_seconds=ACCEPT_SECONDS)
        yield held
    finally:
        for each in held:
            each.close()


async def ask(
    port: int,
    paths: Sequence[str],
    times: int,
    pause_seconds: float = 0.0,
    within_seconds: float = ANSWER_SECONDS,
) -> Answers:
    """Send each path so many GET requests, one at a time, each on a connection of its own."""
    answered, slowest, loop = 0, 0.0, asyncio.get_running_loop()
    async with aiohttp.ClientSession(
        base_url=f"http://{LOOPBACK}:{port}",
        connector=aiohttp.TCPConnector(force_close=True),
        timeout=aiohttp.ClientTimeout(total=within_seconds),
    ) as http:
        for path in [path for _ in range(times) for path in paths]:
            began = loop.time()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(path) as response:
                    await response.read()
                answered += 1
                slowest = max(slowest, loop.time() - began)
            await asyncio.sleep(pause_seconds)
    return Answers(answered, times * len(paths), slowest)


async def _connect(connections: Sequence[socket.socket], port: int) -> None:
    """Connect all, and go on without those that the server refused.

    Raises:
        LabError: the server's queue had no room for one of them.
    """
    loop = asyncio.get_running_loop()
    for each in connections:
        each.setblocking(False)  # noqa: FBT003 the standard library's signature
    try:
        async with asyncio.timeout(ACCEPT_SECONDS):
            await asyncio.gather(
                *(loop.sock_connect(each, (LOOPBACK, port)) for each in connections), return_exceptions=True
            )
    except TimeoutError as error:
        raise LabError(f"port {port} accepted no connection within {ACCEPT_SECONDS:.0f} s") from error
