"""A hop between relay and echo that delays and loses packets.

Its arguments are the echo's port, the delay in ms, and the loss in per cent. Its standard input is its bound UDP
socket. Each sender gets a socket of its own towards the echo, so that an answer finds its sender. The delay is added to
answers. The hop ends with its parent.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import selectors
import socket
import sys
import time

from rtppool_core.process.scheduling import prioritize

LOOPBACK = "127.0.0.1"
MAX_SENDERS = 4096
MAX_BYTES = 2048
# A parent that was killed cannot say so.
CHECK_PARENT_SECONDS = 1.0
ROOM_BYTES = 4 << 20

Address = tuple[str, int]


class Hop:
    """Carries datagrams from `entrance` to the echo, and its answers back `delay_seconds` later.

    A `loss` share of the senders' datagrams goes no further.
    """

    def __init__(self, entrance: socket.socket, echo: Address, delay_seconds: float, loss: float) -> None:
        self._entrance = entrance
        self._echo = echo
        self._delay_seconds = delay_seconds
        self._loss = loss
        # The same packets are lost in each run.
        self._chance = random.Random(1)  # noqa: S311 no secret
        self._order = itertools.count()
        self._towards_echo: dict[Address, socket.socket] = {}
        self._delayed: list[tuple[float, int, bytes, Address]] = []
        self._selector = selectors.DefaultSelector()
        entrance.settimeout(0)
        self._selector.register(entrance, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Carry datagrams until the parent process has ended."""
        parent = os.getppid()
        while os.getppid() == parent:
            pause = self._delayed[0][0] - time.monotonic() if self._delayed else CHECK_PARENT_SECONDS
            for key, _ in self._selector.select(min(max(pause, 0.0), CHECK_PARENT_SECONDS)):
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    if key.data is None:
                        self._carry_on()
                    else:
                        self._take_answers(key.fileobj, key.data)  # type: ignore[arg-type]
            self._return_due()

    def _carry_on(self) -> None:
        while True:
            data, sender = self._entrance.recvfrom(MAX_BYTES)
            towards_echo = self._socket_of(sender)
            if towards_echo is not None and self._chance.random() >= self._loss:
                with contextlib.suppress(OSError):
                    towards_echo.send(data)

    def _socket_of(self, sender: Address) -> socket.socket | None:
        found = self._towards_echo.get(sender)
        if found is None and len(self._towards_echo) < MAX_SENDERS:
            found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            found.settimeout(0)
            found.connect(self._echo)
            self._towards_echo[sender] = found
            self._selector.register(found, selectors.EVENT_READ, sender)
        return found

    def _take_answers(self, towards_echo: socket.socket, sender: Address) -> None:
        while True:
            data = towards_echo.recv(MAX_BYTES)
            due = time.monotonic() + self._delay_seconds
            heapq.heappush(self._delayed, (due, next(self._order), data, sender))

    def _return_due(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            _, _, data, sender = heapq.heappop(self._delayed)
            with contextlib.suppress(OSError):
                self._entrance.sendto(data, sender)


def main(echo_port: str, delay_milliseconds: str, loss_per_cent: str) -> None:
    """Run the hop on the socket that is the standard input."""
    prioritize(real_time=True)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as entrance:
        entrance.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_BYTES)
        Hop(entrance, (LOOPBACK, int(echo_port)), int(delay_milliseconds) / 1e3, int(loss_per_cent) / 100).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
