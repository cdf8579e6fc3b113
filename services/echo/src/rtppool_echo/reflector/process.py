"""A reflecting process: waits for datagrams and answers them in machine code, without event loop or logs.

Control starts it as `python -m rtppool_echo.reflector.process <json>`. It inherits the descriptors of its UDP socket,
of the shared counters, and of a pipe. It exits when control closes the other end of the pipe, or exits itself. SIGTERM
and SIGINT are blocked from its first moment on: they are for control.

The process blocks in the receive call, one call per wake-up. SIGIO interrupts the call when the pipe is closed
(fcntl(2) F_SETOWN). SIGALRM interrupts it twice a second, so that the process records a sign of life.
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
import sys

from rtppool_core.net import udp
from rtppool_core.process.scheduling import prioritize
from rtppool_echo.reflector.attendant import Attendant
from rtppool_echo.reflector.host_time import host_time_of, no_host_time
from rtppool_echo.reflector.machine_code import answer, reflect
from rtppool_echo.reflector.memory import ATTEND, IDLE, ReflectorMemory, Rules
from rtppool_echo.workers.counters import words_of
from rtppool_echo.workers.plan import ALIVE_EVERY_SECONDS, WorkerPlan


def run(plan: WorkerPlan) -> None:
    """Answer datagrams until control closes the pipe or exits.

    Raises:
        OSError: the socket is broken.
    """
    poller = select.poll()
    poller.register(plan.life_descriptor, select.POLLHUP)
    exit_on_hang_up(plan.life_descriptor)
    sock = socket.socket(fileno=plan.socket_descriptor)
    sock.settimeout(None)
    interrupt_every(ALIVE_EVERY_SECONDS)
    memory = make_memory(sock, plan)
    heartbeats = plan.heartbeats_descriptor
    attendant = Attendant(memory, no_host_time if heartbeats is None else host_time_of(heartbeats, plan.watched))
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        outcome = reflect(memory.address)
        if outcome == ATTEND:
            attendant.attend()
            answer(memory.address)
        elif outcome == IDLE:
            raise_if_broken(sock)
            if poller.poll(0):
                return


def make_memory(sock: socket.socket, plan: WorkerPlan) -> ReflectorMemory:
    """Return the memory of a process that answers on `sock`."""
    allow = tuple(ipaddress.ip_network(text) for text in plan.allow)
    rules = Rules(plan.own_port, allow, plan.dscp, plan.rate, plan.rate_per_address, plan.rtp_only)
    counters = words_of(mmap.mmap(plan.counters_descriptor, 0), plan.worker)
    return ReflectorMemory(sock.fileno(), sock.family, counters, rules, stamped=has_stamps(sock))


def raise_if_broken(sock: socket.socket) -> None:
    """Raise the error of a socket that received nothing because it is broken.

    Raises:
        OSError: the socket is broken.
    """
    with contextlib.suppress(BlockingIOError):
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)


def interrupt_every(seconds: float) -> None:
    """Have a signal interrupt the receive call again and again.

    A receive timeout would cost each wait for a datagram a timer.
    """
    signal.signal(signal.SIGALRM, lambda _signal, _frame: None)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


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
