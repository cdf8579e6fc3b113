"""`/status` of many relays from one listening socket: the requested address selects the relay.

This is a bare protocol instead of a web framework: the simulation must cost less than the operator.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs

from rtppool_core.contract.report_changes import AFTER, DEFAULT_WAIT_SECONDS, MAX_WAIT_SECONDS, WAIT_SECONDS

END_OF_REQUEST = b"\r\n\r\n"
MAX_REQUEST = 16_384
MIN_WAIT_SECONDS = 1.0
# Thousands of clients connect at once; a full backlog would delay some of them by a second.
BACKLOG = 8_192
# With this linger option, a close sends a reset instead of the usual end.
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to send after a delay. Without a `body`, only the head is sent."""

    body: bytes | None
    status: str = "200 OK"
    delay_seconds: float = 0.0

    @property
    def message(self) -> bytes:
        """The complete answer."""
        if self.body is None:
            return f"HTTP/1.1 {self.status}\r\n\r\n".encode()
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        return head.encode() + self.body


@dataclass(slots=True)
class Load:
    """The number of requests without a position in flight, and its maximum so far. A relay may hold all others."""

    in_flight: int = 0
    most_in_flight: int = 0

    def begin(self) -> None:
        """Count a request."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        """Count the end of a request: answered or lost."""
        self.in_flight -= 1


class Site(Protocol):
    """The receiver of the requests to all addresses."""

    def connected(self, connection: StatusConnection) -> None:
        """Note a new connection."""

    def requested(self, connection: StatusConnection) -> None:
        """Handle a request: answer it now or later, hold it, or leave it without an answer."""

    def lost(self, connection: StatusConnection) -> None:
        """Forget a connection and its request."""


class StatusConnection(asyncio.Protocol):
    """One connection, which carries one request at a time.

    `address` is the requested one. `after` and `wait_seconds` are those of the latest request; a request without a
    position has an empty `after`.
    """

    def __init__(self, site: Site, load: Load) -> None:
        self.address = ""
        self.after = ""
        self.wait_seconds = float(DEFAULT_WAIT_SECONDS)
        self._site = site
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._delayed: asyncio.TimerHandle | None = None
        self._busy = False
        self._in_flight = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the requested address."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self.address = transport.get_extra_info("sockname")[0]
        self._site.connected(self)

    def data_received(self, data: bytes) -> None:
        """Hand over a complete request."""
        self._received += data
        if self._transport is not None and len(self._received) > MAX_REQUEST:
            self._transport.abort()
        if END_OF_REQUEST not in self._received or self._busy:
            return
        head, _, self._received = self._received.partition(END_OF_REQUEST)
        self.after, self.wait_seconds = _query(head)
        self._busy, self._in_flight = True, not self.after
        if self._in_flight:
            self._load.begin()
        self._site.requested(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's signature
        """Discard a delayed answer."""
        if self._delayed is not None:
            self._delayed.cancel()
        self._busy = False
        self._leave_flight()
        self._site.lost(self)

    def answer(self, answer: Answer) -> None:
        """Answer the request after the answer's delay."""
        if answer.delay_seconds:
            loop = asyncio.get_running_loop()
            self._delayed = loop.call_later(answer.delay_seconds, self._send, answer.message)
        else:
            self._send(answer.message)

    def reset(self) -> None:
        """Break the connection, as the kernel does after the end of a process."""
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()

    def _send(self, message: bytes) -> None:
        self._busy = False
        self._leave_flight()
        if self._transport is not None:
            self._transport.write(message)

    def _leave_flight(self) -> None:
        if self._in_flight:
            self._in_flight = False
            self._load.end()


async def serve(site: Site, load: Load) -> asyncio.Server:
    """Listen on a free port of every address, 127.0.0.0/8 included."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: StatusConnection(site, load), "0.0.0.0", 0, backlog=BACKLOG)


def _query(head: bytes) -> tuple[str, float]:
    """Return position and wait of a request's head. A wait outside the accepted range becomes its nearest bound."""
    target = head.split(b" ", 2)[1:2]
    query = parse_qs(target[0].partition(b"?")[2].decode("ascii", "replace")) if target else {}
    after = query.get(AFTER, [""])[0]
    try:
        wait_seconds = float(query.get(WAIT_SECONDS, [""])[0])
    except ValueError:
        return after, DEFAULT_WAIT_SECONDS
    return after, min(max(wait_seconds, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)
