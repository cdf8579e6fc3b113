"""`/status` of many relays from one listening socket: the requested address selects the relay.

This is a bare protocol instead of a web framework: at 200 relays the simulation must cost less than the operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

END_OF_REQUEST = b"\r\n\r\n"
MAX_REQUEST = 16_384


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to send after a delay. Without a `body`, the connection stays open and silent."""

    body: bytes | None
    status: str = "200 OK"
    delay_seconds: float = 0.0

    @property
    def message(self) -> bytes | None:
        """The complete answer; None without a body."""
        if self.body is None:
            return None
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        return head.encode() + self.body


@dataclass(slots=True)
class Load:
    """The number of requests in flight, and its maximum so far."""

    in_flight: int = 0
    most_in_flight: int = 0

    def begin(self) -> None:
        """Count a request."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        """Count the end of a request, answered or not."""
        self.in_flight -= 1


class StatusProtocol(asyncio.Protocol):
    """One connection. `answer` is called once for each request, with the requested address."""

    def __init__(self, answer: Callable[[str], Answer], load: Load) -> None:
        self._answer = answer
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._address = ""
        self._waiting: asyncio.TimerHandle | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the requested address."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._address = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        """Answer a complete request."""
        self._received += data
        if self._transport is not None and len(self._received) > MAX_REQUEST:
            self._transport.abort()
        if END_OF_REQUEST not in self._received or self._busy:
            return
        self._received = self._received.partition(END_OF_REQUEST)[2]
        self._busy = True
        self._load.begin()
        answer = self._answer(self._address)
        message = answer.message
        if message is not None:
            self._waiting = asyncio.get_running_loop().call_later(answer.delay_seconds, self._send, message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's signature
        """Discard a delayed answer."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._busy:
            self._busy = False
            self._load.end()

    def _send(self, message: bytes) -> None:
        self._busy = False
        self._load.end()
        if self._transport is not None:
            self._transport.write(message)
