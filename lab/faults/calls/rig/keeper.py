"""A supervisor of one process: waits for its end and starts it again at once, as a kubelet or systemd would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.faults.calls.errors import ChaosError

END_SECONDS = 5.0
# One that dies again and again at once is broken; a test of faults must not become a loop of starts.
MAX_STARTS_IN_A_ROW, YOUNG_SECONDS = 20, 0.5
LAST_LINES = 12


class Keeper:
    """Keeps `name` running from `start()` to `close()`. Processes are ended by their ids alone.

    `held`: its end is not answered by a start, until `release()`.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._command = tuple(command)
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._may_run = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now.

        Raises:
            ChaosError: none runs.
        """
        if self._process is None or self._process.returncode is not None:
            raise ChaosError(f"{self.name} does not run:\n{self.last_words()}")
        return self._process.pid

    @property
    def has_given_up(self) -> bool:
        """It ended again and again at once; `close()` says so."""
        return self._task is not None and self._task.done()

    async def start(self) -> None:
        """Start it, and keep it."""
        self._may_run.set()
        await self._spawn()
        self._task = asyncio.create_task(self._keep(), name=f"keeper of {self.name}")

    def kill(self) -> None:
        """End it as a crash does."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Ask it to end, as an operator does."""
        os.kill(self.pid, signal.SIGTERM)

    async def started_again(self, starts_before: int, within_seconds: float) -> None:
        """Wait until another process runs than the one of so many starts.

        Raises:
            ChaosError: none does in time.
        """
        deadline = time.monotonic() + within_seconds
        while self.starts <= starts_before:
            if time.monotonic() > deadline:
                raise ChaosError(f"{self.name} was not started again:\n{self.last_words()}")
            await asyncio.sleep(0.002)

    def hold(self) -> None:
        """Let its next end be one that lasts."""
        self._may_run.clear()

    def release(self) -> None:
        """Start it again, if it has ended."""
        self._may_run.set()

    async def close(self) -> None:
        """End it for good, by force if it does not obey.

        Raises:
            ChaosError: it was started in vain too often.
        """
        self.hold()
        try:
            if self._process is not None and self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(END_SECONDS):
                        await self._process.wait()
                if self._process.returncode is None:
                    self._process.kill()
                await self._process.wait()
        finally:
            if self._task is not None:
                if not self._task.done():
                    self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task

    def log_text(self, offset: int = 0) -> str:
        """What all its processes have logged, from `offset` bytes on."""
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")

    def log_size(self) -> int:
        """In bytes."""
        return self.log.stat().st_size

    def last_words(self) -> str:
        """The end of its log, indented."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:] if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines)

    async def _keep(self) -> None:
        in_a_row = 0
        while self._process is not None:
            began = time.monotonic()
            await self._process.wait()
            in_a_row = in_a_row + 1 if time.monotonic() - began < YOUNG_SECONDS else 0
            if in_a_row > MAX_STARTS_IN_A_ROW:
                raise ChaosError(f"{self.name} ends at once, {in_a_row} times in a row:\n{self.last_words()}")
            await self._may_run.wait()
            await self._spawn()

    async def _spawn(self) -> None:
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        self.starts += 1


async def accepts(host: str, port: int, within_seconds: float) -> float:
    """Wait until something accepts a TCP connection; returns when (monotonic seconds).

    Raises:
        ChaosError: nothing does in time.
    """
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            accepted = time.monotonic()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return accepted
        await asyncio.sleep(0.01)
    raise ChaosError(f"nothing accepts connections at {host}:{port} within {within_seconds:.0f} s")
