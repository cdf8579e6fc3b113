"""A supervisor of one process, which starts it again at once as a kubelet or systemd would."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.base.errors import LabError
from lab.base.processes import Process, tail_of

END_SECONDS = 5.0
# A program that ends at once, again and again, is broken. A test of faults must not become a loop of starts. Some
# faults make every start of five seconds fail.
YOUNG_SECONDS, GIVE_UP_SECONDS = 0.5, 20.0
# systemd's default (RestartSec).
PAUSE_SECONDS = 0.1
POLL_SECONDS = 0.002


class Keeper:
    """Keeps a program running from `start()` to `close()`, unless it ends at once for `give_up_seconds`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._command = tuple(command)
        self._variables = dict(variables)
        self._give_up_seconds = give_up_seconds
        self._process: Process | None = None
        self._may_run = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The id of the process that runs now.

        Raises:
            LabError: none runs.
        """
        return self._running().pid

    @property
    def runs(self) -> bool:
        """Whether a process runs now."""
        return self._process is not None and self._process.runs

    @property
    def has_given_up(self) -> bool:
        """Whether the program ended at once for too long; `close()` then raises."""
        return self._task is not None and self._task.done()

    async def start(self) -> None:
        """Start the program and keep it running."""
        self._may_run.set()
        self._process = self._spawn()
        self._task = asyncio.create_task(self._keep(self._process), name=f"keeper of {self.name}")

    def kill(self) -> None:
        """End the process as a crash does (SIGKILL)."""
        self._running().signal(signal.SIGKILL)

    def end(self) -> None:
        """Ask the process to end (SIGTERM)."""
        self._running().signal(signal.SIGTERM)

    async def wait_for_restart(self, starts_before: int, within_seconds: float) -> None:
        """Wait until the program was started more than `starts_before` times.

        Raises:
            LabError: it was not within the time.
        """
        deadline = time.monotonic() + within_seconds
        while self.starts <= starts_before:
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} was not started again:\n{self.tail()}")
            await asyncio.sleep(POLL_SECONDS)

    def hold(self) -> None:
        """Suspend restarts until `release()`."""
        self._may_run.clear()

    def release(self) -> None:
        """Allow restarts, and start the program if it has ended."""
        self._may_run.set()

    async def close(self) -> None:
        """End the program for good.

        Raises:
            LabError: the keeper had given it up.
        """
        self.hold()
        try:
            if self._process is not None:
                await self._process.end(END_SECONDS)
        finally:
            if self._task is not None:
                if not self._task.done():
                    self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task

    def log_text(self, offset: int = 0) -> str:
        """Return the log of all starts, from `offset` bytes on."""
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")

    def log_size(self) -> int:
        """Return the size of the log in bytes."""
        return self.log.stat().st_size

    def tail(self) -> str:
        """Return the end of the log, indented."""
        return tail_of(self.log)

    def _running(self) -> Process:
        if self._process is None or not self._process.runs:
            raise LabError(f"{self.name} does not run:\n{self.tail()}")
        return self._process

    async def _keep(self, process: Process) -> None:
        in_a_row, failing_since = 0, time.monotonic()
        while True:
            began = time.monotonic()
            await process.wait()
            if time.monotonic() - began >= YOUNG_SECONDS:
                in_a_row, failing_since = 0, time.monotonic()
            else:
                in_a_row += 1
                await asyncio.sleep(PAUSE_SECONDS)
            if time.monotonic() - failing_since >= self._give_up_seconds:
                raise LabError(f"{self.name} ends at once, {in_a_row} times in a row:\n{self.tail()}")
            await self._may_run.wait()
            process = self._process = self._spawn()

    def _spawn(self) -> Process:
        self.starts += 1
        return Process(self.name, self._command, self._variables, self.log)
