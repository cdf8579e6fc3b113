"""A reflecting process: waits for datagrams and answers them, without event loop, logs or garbage collection.

Control starts it as `python -m rtppool_echo.workers.process <json>`. It inherits the descriptors of its UDP socket, of
the shared counters, and of a pipe. It exits when control closes the other end of the pipe, or exits itself. SIGTERM and
SIGINT are blocked from its first moment on: they are for control.

The process blocks in the receive call, one call per wake-up. SIGIO interrupts the call when the pipe is closed
(fcntl(2) F_SETOWN). A timeout of half a second lets the process record a sign of life.
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
from rtppool_core.process.scheduling import prioritize
from rtppool_echo.messages.answer_ancillary import AnswerAncillary
from rtppool_echo.messages.batch import BatchMessages
from rtppool_echo.messages.datagram_memory import SLOT_BYTES, DatagramMemory
from rtppool_echo.messages.single import SingleMessages
from rtppool_echo.messages.socket_name import source_of
from rtppool_echo.rules.received_counts import ReceivedCounts
from rtppool_echo.rules.recent_answers import RecentAnswers
from rtppool_echo.rules.refusals import SourceRules
from rtppool_echo.rules.sender_limits import SenderLimits
from rtppool_echo.workers.counters import Tally, words_of
from rtppool_echo.workers.extension_filler import ExtensionFiller
from rtppool_echo.workers.host_time import host_time_of, no_host_time
from rtppool_echo.workers.reflector import make_reflector

ALIVE_EVERY_SECONDS = 0.5
_TIMEVAL = struct.Struct("@ll")


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The command line of a reflecting process.

    `batches`: use recvmmsg and sendmmsg. `real_time`: ask for real-time priority. `watched`: the processors with a
    heartbeat, whose memory has the descriptor `heartbeats_descriptor`.
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
    heartbeats_descriptor: int | None = None
    watched: tuple[int, ...] = ()


def run(plan: WorkerPlan) -> None:
    """Answer datagrams until control closes the pipe or exits.

    Raises:
        OSError: the socket is broken.
    """
    poller = select.poll()
    poller.register(plan.life_descriptor, select.POLLHUP)
    exit_on_hang_up(plan.life_descriptor)
    sock = socket.socket(fileno=plan.socket_descriptor)
    set_receive_timeout(sock, ALIVE_EVERY_SECONDS)
    reflect = make_reflector_on(sock, plan)
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        if reflect() == 0:
            raise_if_broken(sock)
            if poller.poll(0):
                return


def make_reflector_on(sock: socket.socket, plan: WorkerPlan) -> Callable[[], int]:
    """Return the function that waits for a batch on `sock` and answers it."""
    memory = DatagramMemory(sock.family, stamped=has_stamps(sock))
    heartbeats = plan.heartbeats_descriptor
    tally = Tally(words_of(mmap.mmap(plan.counters_descriptor, 0), plan.worker))
    rules = SourceRules(plan.own_port, tuple(ipaddress.ip_network(text) for text in plan.allow))
    return make_reflector(
        BatchMessages(sock, memory) if plan.batches else SingleMessages(sock, memory),
        memory,
        tally,
        SenderLimits(rules, plan.rate, plan.rate_per_address, source_of, tally.note_sender).refusal,
        AnswerAncillary(memory, plan.dscp),
        ExtensionFiller(
            memory, ReceivedCounts(), no_host_time if heartbeats is None else host_time_of(heartbeats, plan.watched)
        ),
        RecentAnswers(memory.payloads, SLOT_BYTES),
        rtp_only=plan.rtp_only,
    )


def raise_if_broken(sock: socket.socket) -> None:
    """Raise the error of a socket that received nothing because it is broken.

    Raises:
        OSError: the socket is broken.
    """
    with contextlib.suppress(BlockingIOError):
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)


def set_receive_timeout(sock: socket.socket, seconds: float) -> None:
    """Set a receive timeout in the kernel; a timeout of Python's would make the socket non-blocking."""
    sock.settimeout(None)
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))


def has_stamps(sock: socket.socket) -> bool:
    """Return whether the kernel stamps the datagrams of this socket."""
    return sock.getsockopt(socket.SOL_SOCKET, udp.SO_TIMESTAMPNS) != 0


def exit_on_hang_up(descriptor: int) -> None:
    """Exit as soon as the pipe's other end is closed, also while the process waits for datagrams."""

    def end(_signal: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGIO, end)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


def main() -> int:
    """Run one reflecting process. Returns the exit code."""
    document = json.loads(sys.argv[1])
    plan = WorkerPlan(**{**document, "allow": tuple(document["allow"]), "watched": tuple(document["watched"])})
    prioritize(real_time=plan.real_time)
    run(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
