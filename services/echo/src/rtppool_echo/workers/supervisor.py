"""Supervision of the reflecting processes: one for each socket.

Control keeps every socket open, so that the port is neither lost nor stolen while a process is down. Datagrams that
arrive meanwhile wait in the socket's buffer. A process that is silent is killed, and started again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import socket
import subprocess
import sys
import time
from functools import partial

from rtppool_core.host.heartbeat import Heartbeat
from rtppool_core.net.http_endpoints import Health
from rtppool_core.process.early_stop import stop_signals_blocked
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_core.process.supervisor import ChildProcess, Supervisor
from rtppool_echo.settings import Settings
from rtppool_echo.workers.counters import Counters
from rtppool_echo.workers.plan import ALIVE_EVERY_SECONDS, WorkerPlan

log = logging.getLogger(__name__)

SILENT_AFTER_SECONDS = 4 * ALIVE_EVERY_SECONDS
# After an edit in development, a process compiles first, for some ten seconds.
START_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.02
# A process that is silent in two checks in a row is killed: one alone may follow a stall of the whole machine.
CHECK_SILENCE_SECONDS = 0.5


class WorkerError(Exception):
    """A reflecting process did not start."""


class WorkerSupervisor:
    """Keeps one reflecting process running for each of `sockets`, which `close()` closes as well.

    `heartbeat`: their packets carry its stalls as host time.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        counters: Counters,
        settings: Settings,
        heartbeat: Heartbeat | None,
    ) -> None:
        self._sockets = sockets
        self._counters = counters
        self._settings = settings
        self._heartbeat = heartbeat
        self._workers = [
            Supervisor(partial(self._spawn, number), partial(self._on_exit, number)) for number in range(len(sockets))
        ]
        self._started_ns = [0] * len(sockets)
        self._silent_before: frozenset[int] = frozenset()
        self._check: asyncio.Task[None] | None = None

    @property
    def restarts(self) -> int:
        """The restarts of all processes."""
        return sum(worker.restarts for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """The ids of the running processes."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def workers_up(self) -> int:
        """Return the number of processes that reported lately that they are alive."""
        return sum(map(self._is_up, range(len(self._workers))))

    def health(self) -> Health:
        """Return a problem for each process that does not answer."""
        total = len(self._workers)
        down = [number for number in range(total) if not self._is_up(number)]
        return Health(tuple(f"reflecting process {number} of {total} does not answer" for number in down))

    async def start(self) -> None:
        """Start every process and wait until each is up. One that can't be started is retried meanwhile.

        Raises:
            WorkerError: a process is not up in time.
        """
        await asyncio.gather(*(worker.start_or_retry() for worker in self._workers))
        deadline = time.monotonic() + START_WITHIN_SECONDS
        while self.workers_up() < len(self._workers):
            if time.monotonic() > deadline:
                raise WorkerError(f"a reflecting process did not start within {START_WITHIN_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS)
        check = PeriodicJobs().repeat("checking reflecting processes", CHECK_SILENCE_SECONDS, self._replace_silent)
        self._check = asyncio.create_task(check)

    async def close(self) -> None:
        """End every process and close the sockets."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.gather(self._check, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._workers))
        for sock in self._sockets:
            sock.close()

    def _is_up(self, number: int) -> bool:
        return time.monotonic_ns() - self._counters.alive_at_ns(number) < SILENT_AFTER_SECONDS * 1e9

    def _replace_silent(self) -> None:
        now_ns = time.monotonic_ns()
        silent = frozenset(number for number in range(len(self._workers)) if self._is_silent(number, now_ns))
        for number in silent & self._silent_before:
            process = self._workers[number].process
            if process is not None:
                fields = {"worker": number, "pid": process.pid}
                log.error("a reflecting process does not answer; it is killed", extra={"fields": fields})
                process.kill()
        self._silent_before = silent - self._silent_before

    def _is_silent(self, number: int, now_ns: int) -> bool:
        """Return whether the running process has given no sign of life for too long."""
        if self._workers[number].process is None:
            return False
        alive_ns = self._counters.alive_at_ns(number)
        if alive_ns:
            return now_ns - alive_ns >= SILENT_AFTER_SECONDS * 1e9
        return now_ns - self._started_ns[number] >= START_WITHIN_SECONDS * 1e9

    async def _spawn(self, number: int) -> ChildProcess:
        sock = self._sockets[number]
        theirs, ours = os.pipe()
        plan = WorkerPlan(
            worker=number,
            socket_descriptor=sock.fileno(),
            counters_descriptor=self._counters.descriptor,
            life_descriptor=theirs,
            own_port=int(sock.getsockname()[1]),
            allow=tuple(map(str, self._settings.allow)),
            dscp=self._settings.dscp,
            rate=self._settings.rate,
            rate_per_address=self._settings.rate_per_address,
            rtp_only=self._settings.rtp_only,
            real_time=self._settings.real_time,
            heartbeats_descriptor=None if self._heartbeat is None else self._heartbeat.memory_descriptor,
            watched=() if self._heartbeat is None else self._heartbeat.processors,
        )
        try:
            process = _start(plan)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._started_ns[number] = time.monotonic_ns()
        return ChildProcess(process, hang_up=partial(os.close, ours))

    def _on_exit(self, number: int, code: int) -> None:
        self._counters.clear_alive(number)
        log.error("a reflecting process ended; it is started again", extra={"fields": {"worker": number, "code": code}})


def _start(plan: WorkerPlan) -> subprocess.Popen[bytes]:
    inherited = (
        plan.socket_descriptor,
        plan.counters_descriptor,
        plan.life_descriptor,
        plan.heartbeats_descriptor,
    )
    with stop_signals_blocked():
        return subprocess.Popen(  # noqa: S603 our own interpreter and module
            [sys.executable, "-m", "rtppool_echo.reflector.process", json.dumps(dataclasses.asdict(plan))],
            pass_fds=[descriptor for descriptor in inherited if descriptor is not None],
            stdin=subprocess.DEVNULL,
        )
