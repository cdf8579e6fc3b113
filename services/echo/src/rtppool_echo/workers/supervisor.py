"""Starts the reflecting processes and starts a dead one again on the same socket.

Control keeps every socket, so that the port is neither lost nor stolen while a process is down; what arrives
meanwhile waits in the socket's buffer.
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
from dataclasses import dataclass, field

from rtppool_core.net.http_endpoints import Verdict
from rtppool_echo.settings import Settings
from rtppool_echo.workers.counters import Counters
from rtppool_echo.workers.process import SAY_ALIVE_EVERY_SECONDS, WorkerPlan

log = logging.getLogger(__name__)

SILENT_AFTER_SECONDS = 4 * SAY_ALIVE_EVERY_SECONDS
START_WITHIN_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.02
FIRST_PAUSE_SECONDS = 0.01
MAX_PAUSE_SECONDS = 1.0
LONG_ENOUGH_UP_SECONDS = 5.0


class WorkerError(Exception):
    """A reflecting process did not start."""


@dataclass(slots=True)
class _Worker:
    number: int
    sock: socket.socket
    process: subprocess.Popen[bytes] | None = None
    life: int | None = None
    exit_watch: int | None = None
    started_at_seconds: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    restarts: int = field(default=0)


class Supervisor:
    """One process for each of `sockets`. Use `start()` once, `close()` at the end; the sockets are closed with it.

    `batches`: the processes use recvmmsg and sendmmsg.
    """

    def __init__(self, sockets: list[socket.socket], counters: Counters, settings: Settings, *, batches: bool) -> None:
        self._workers = [_Worker(number, sock) for number, sock in enumerate(sockets)]
        self._counters = counters
        self._settings = settings
        self._batches = batches
        self._port = int(sockets[0].getsockname()[1])
        self._closing = False
        self._restarting: set[asyncio.Task[None]] = set()

    @property
    def restarts(self) -> int:
        """How often a process was started again."""
        return sum(worker.restarts for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def workers_up(self) -> int:
        """How many said lately that they live."""
        return sum(1 for worker in self._workers if self._is_up(worker))

    def verdict(self) -> Verdict:
        """Well when every process answers."""
        down = [worker.number for worker in self._workers if not self._is_up(worker)]
        return Verdict(tuple(f"reflecting process {number} of {len(self._workers)} does not answer" for number in down))

    async def start(self) -> None:
        """Start every process and wait until each lives.

        Raises:
            WorkerError: one doesn't.
        """
        for worker in self._workers:
            self._spawn(worker)
        deadline = time.monotonic() + START_WITHIN_SECONDS
        while self.workers_up() < len(self._workers):
            if time.monotonic() > deadline:
                raise WorkerError(f"a reflecting process did not start within {START_WITHIN_SECONDS:g} s")
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def close(self) -> None:
        """End every process and close the sockets."""
        self._closing = True
        for task in self._restarting:
            task.cancel()
        await asyncio.gather(*self._restarting, return_exceptions=True)
        for worker in self._workers:
            self._let_go(worker)
            if worker.process is not None:
                await asyncio.to_thread(_wait_or_kill, worker.process)
            worker.sock.close()

    def _is_up(self, worker: _Worker) -> bool:
        alive_at_ns = self._counters.alive_at_ns(worker.number)
        # Words outlive a process: what its predecessor said doesn't count.
        fresh = alive_at_ns / 1e9 >= worker.started_at_seconds
        return worker.life is not None and fresh and time.monotonic_ns() - alive_at_ns < SILENT_AFTER_SECONDS * 1e9

    def _spawn(self, worker: _Worker) -> None:
        theirs, ours = os.pipe()
        plan = WorkerPlan(
            worker=worker.number,
            socket_descriptor=worker.sock.fileno(),
            counters_descriptor=self._counters.descriptor,
            life_descriptor=theirs,
            own_port=self._port,
            allow=tuple(map(str, self._settings.allow)),
            dscp=self._settings.dscp,
            rate=self._settings.rate,
            rate_per_address=self._settings.rate_per_address,
            rtp_only=self._settings.rtp_only,
            batches=self._batches,
            real_time=self._settings.real_time,
        )
        worker.started_at_seconds = time.monotonic()
        try:
            worker.process = subprocess.Popen(  # noqa: S603 our own interpreter and module
                [sys.executable, "-m", "rtppool_echo.workers.process", json.dumps(dataclasses.asdict(plan))],
                pass_fds=(plan.socket_descriptor, plan.counters_descriptor, theirs),
                stdin=subprocess.DEVNULL,
            )
        finally:
            os.close(theirs)
        worker.life = ours
        worker.exit_watch = os.pidfd_open(worker.process.pid)
        asyncio.get_running_loop().add_reader(worker.exit_watch, self._on_death, worker)

    def _on_death(self, worker: _Worker) -> None:
        self._let_go(worker)
        if self._closing:
            return
        code = worker.process.wait() if worker.process is not None else None
        worker.restarts += 1
        log.error(
            "a reflecting process ended; it is started again",
            extra={"fields": {"worker": worker.number, "code": code, "pause_seconds": worker.pause_seconds}},
        )
        task = asyncio.create_task(self._restart(worker))
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def _restart(self, worker: _Worker) -> None:
        if time.monotonic() - worker.started_at_seconds > LONG_ENOUGH_UP_SECONDS:
            worker.pause_seconds = FIRST_PAUSE_SECONDS
        await asyncio.sleep(worker.pause_seconds)
        worker.pause_seconds = min(2 * worker.pause_seconds, MAX_PAUSE_SECONDS)
        self._spawn(worker)

    def _let_go(self, worker: _Worker) -> None:
        """Close this side's descriptors of a process; one that still runs ends by that."""
        if worker.exit_watch is not None:
            asyncio.get_running_loop().remove_reader(worker.exit_watch)
            os.close(worker.exit_watch)
            worker.exit_watch = None
        if worker.life is not None:
            os.close(worker.life)
            worker.life = None


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
