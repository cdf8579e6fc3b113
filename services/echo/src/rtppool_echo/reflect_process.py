"""A reflecting process: a plain loop over epoll. No event loop, no logs, no garbage collection in the packet path.

Started by the control process: `python -m rtppool_echo.reflect_process <json>`, with the descriptors of its UDP
socket, of the shared counters, and of a pipe whose other end control holds. It ends when control does.
"""

from __future__ import annotations

import gc
import ipaddress
import json
import mmap
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass

from rtppool_core.rtp import defect
from rtppool_echo.ancillary import RECEIVE_SPACE, Item, for_answer
from rtppool_echo.counters import ALIVE_AT_NS, ANSWERED_BYTES, ANSWERED_PACKETS, WORD_OF_REASON, words_of
from rtppool_echo.reflection import (
    REASON_DESTINATION,
    REASON_SEND_ERROR,
    REASON_SEND_FULL,
    SourceRules,
)

LARGEST_DATAGRAM_BYTES = 65_535
SAY_ALIVE_EVERY_SECONDS = 0.5
# Verdicts that are kept; forged senders must not fill the memory.
MOST_KEPT = 4_096


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a reflecting process is told on its command line."""

    worker: int
    socket_descriptor: int
    counters_descriptor: int
    life_descriptor: int
    own_port: int
    allow: tuple[str, ...]
    dscp: int | None


class Reflector:
    """Answers what arrives on one socket; `words` are this worker's counters."""

    def __init__(self, sock: socket.socket, words: memoryview, rules: SourceRules, dscp: int | None) -> None:
        self._sock = sock
        self._words = words
        self._rules = rules
        self._dscp = dscp
        self._buffer = bytearray(LARGEST_DATAGRAM_BYTES)
        self._view = memoryview(self._buffer)
        self._refusals: dict[tuple[str, int], str | None] = {}
        self._beside: dict[tuple[Item, ...], list[Item] | None] = {}

    def answer_one(self) -> None:
        """Read one datagram, then answer it or count why not. Nothing waiting is no error.

        Raises:
            OSError: the socket itself is broken.
        """
        try:
            size, received, _flags, sender = self._sock.recvmsg_into([self._buffer], RECEIVE_SPACE)
        except BlockingIOError:
            return
        reason = self._refusal(sender[0], sender[1]) or defect(self._buffer, size)
        beside = None
        if reason is None:
            beside = self._beside_answer(received)
            reason = REASON_DESTINATION if beside is None else None
        if reason is None and beside is not None:
            reason = self._send(size, beside, sender)
        if reason is None:
            self._words[ANSWERED_PACKETS] += 1
            self._words[ANSWERED_BYTES] += size
        else:
            self._words[WORD_OF_REASON[reason]] += 1

    def _send(self, size: int, beside: list[Item], sender: tuple[str, int]) -> str | None:
        try:
            self._sock.sendmsg([self._view[:size]], beside, 0, sender)
        except BlockingIOError:
            return REASON_SEND_FULL
        except OSError:
            return REASON_SEND_ERROR
        return None

    def _refusal(self, host: str, port: int) -> str | None:
        key = (host, port)
        try:
            return self._refusals[key]
        except KeyError:
            if len(self._refusals) >= MOST_KEPT:
                self._refusals.clear()
            refusal = self._refusals[key] = self._rules.refusal(host, port)
            return refusal

    def _beside_answer(self, received: list[Item]) -> list[Item] | None:
        key = tuple(received)
        try:
            return self._beside[key]
        except KeyError:
            if len(self._beside) >= MOST_KEPT:
                self._beside.clear()
            beside = self._beside[key] = for_answer(received, self._dscp)
            return beside


def run(plan: WorkerPlan) -> None:
    """Answer until control is gone."""
    sock = socket.socket(fileno=plan.socket_descriptor)
    words = words_of(mmap.mmap(plan.counters_descriptor, 0), plan.worker)
    rules = SourceRules(plan.own_port, tuple(ipaddress.ip_network(text) for text in plan.allow))
    answer_one = Reflector(sock, words, rules, plan.dscp).answer_one
    poller = select.epoll()
    poller.register(sock.fileno(), select.EPOLLIN)
    poller.register(plan.life_descriptor, select.EPOLLHUP)
    poll = poller.poll
    monotonic_ns = time.monotonic_ns
    while True:
        words[ALIVE_AT_NS] = monotonic_ns()
        for descriptor, _events in poll(SAY_ALIVE_EVERY_SECONDS):
            if descriptor == plan.life_descriptor:
                return
            answer_one()


def main() -> int:
    """Run one reflecting process. Returns the exit code."""
    # Whoever stops the service tells the control process, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    document = json.loads(sys.argv[1])
    plan = WorkerPlan(**{**document, "allow": tuple(document["allow"])})
    gc.collect()
    gc.freeze()
    gc.disable()
    run(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
