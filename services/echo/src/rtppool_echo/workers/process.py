"""A reflecting process: waits for datagrams and answers them. No event loop, no logs, no garbage collection.

Started by the control process: `python -m rtppool_echo.workers.process <json>`, with the descriptors of its UDP
socket, of the shared counters, and of a pipe whose other end control holds. It ends when control does.

It blocks in the receive call itself, one call a wake-up; the kernel interrupts that when the pipe's other end is closed
(SIGIO, fcntl(2) F_SETOWN), and gives up every half second, so that the process can say that it lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import ipaddress
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

from rtppool_core.net import udp
from rtppool_core.process.scheduling import go_before_others
from rtppool_echo.messages.answer_ancillary import AnswersBeside
from rtppool_echo.messages.batch import BatchMessages
from rtppool_echo.messages.datagram_memory import DatagramMemory
from rtppool_echo.messages.single import SingleMessages
from rtppool_echo.rules.received_counts import ReceivedCounts
from rtppool_echo.rules.reflection import SourceRules
from rtppool_echo.rules.sender_limits import SenderLimits
from rtppool_echo.workers.counters import Tally, words_of
from rtppool_echo.workers.extension_filler import ExtensionFiller
from rtppool_echo.workers.reflector import reflector

ALIVE_EVERY_SECONDS = 0.5
_TIMEVAL = struct.Struct("@ll")


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a reflecting process is told on its command line.

    `batches`: recvmmsg and sendmmsg can be used. `real_time`: it asks for real-time priority.
    """

    worker: int
    socket_descriptor: int
    counters_descriptor: int
    life_descriptor: int
    own_port: int
    allow: tuple[str, ...]
    dscp: int | None
    rate: int
    rate_per_address: int
    rtp_only: bool
    batches: bool
    real_time: bool = False


def run(plan: WorkerPlan) -> None:
    """Answer until control is gone.

    Raises:
        OSError: the socket is broken.
    """
    poller = select.poll()
    poller.register(plan.life_descriptor, select.POLLHUP)
    end_when_hung_up(plan.life_descriptor)
    sock = socket.socket(fileno=plan.socket_descriptor)
    wait_at_most(sock, ALIVE_EVERY_SECONDS)
    reflect = reflector_on(sock, plan)
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        if reflect() == 0:
            raise_if_broken(sock)
            if poller.poll(0):
                return


def reflector_on(sock: socket.socket, plan: WorkerPlan) -> Callable[[], int]:
    """What waits for a batch on the plan's socket and answers it."""
    memory = DatagramMemory(sock.family, stamped=has_stamps(sock))
    rules = SourceRules(plan.own_port, tuple(ipaddress.ip_network(text) for text in plan.allow))
    return reflector(
        BatchMessages(sock, memory) if plan.batches else SingleMessages(sock, memory),
        memory,
        Tally(words_of(mmap.mmap(plan.counters_descriptor, 0), plan.worker)),
        SenderLimits(rules, plan.rate, plan.rate_per_address).refusal,
        AnswersBeside(memory, plan.dscp),
        ExtensionFiller(memory, ReceivedCounts()),
        rtp_only=plan.rtp_only,
    )


def raise_if_broken(sock: socket.socket) -> None:
    """Tell a socket on which nothing came from one on which nothing can come.

    Raises:
        OSError: the socket is broken.
    """
    with contextlib.suppress(BlockingIOError):
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)


def wait_at_most(sock: socket.socket, seconds: float) -> None:
    """Let the kernel, not Python, wait for datagrams, and give up after `seconds`."""
    sock.settimeout(None)
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))


def has_stamps(sock: socket.socket) -> bool:
    """Whether the kernel stamps what this socket receives."""
    return sock.getsockopt(socket.SOL_SOCKET, udp.SO_TIMESTAMPNS) != 0


def end_when_hung_up(descriptor: int) -> None:
    """End this process as soon as nobody holds the pipe's other end, also while it waits for datagrams."""

    def end(_signal: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGIO, end)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


def main() -> int:
    """Run one reflecting process. Returns the exit code."""
    # Whoever stops the service tells the control process, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    document = json.loads(sys.argv[1])
    plan = WorkerPlan(**{**document, "allow": tuple(document["allow"])})
    go_before_others(real_time=plan.real_time)
    run(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
