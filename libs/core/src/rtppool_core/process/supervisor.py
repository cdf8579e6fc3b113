"""Child processes: `ChildProcess` notices an exit, `Supervisor` starts a process again after each exit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rtppool_core.process.periodic import describe_failure, remedy

END_SECONDS = 2.0

log = logging.getLogger(__name__)


class Supervised(Protocol):
    """A started process, as `Supervisor` needs it."""

    async def wait(self) -> int:
        """Return the exit code once the process has exited."""

    async def end(self, seconds: float) -> int:
        """End the process, by force after `seconds`. Returns the exit code."""


class ChildProcess:
    """A started process whose exit the event loop notices through a pidfd.

    `hang_up` asks the process to exit, for instance by closing a pipe that the process watches. The default is SIGTERM.
    It is called exactly once: to end the process, or after its exit, so that the pipe is closed in both cases.

    Raises:
        OSError: the exit can't be noticed (no descriptor is free). The process has been killed.
    """

    def __init__(self, process: subprocess.Popen[bytes], hang_up: Callable[[], None] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._process = process
        self._hang_up: Callable[[], None] | None = hang_up or process.terminate
        self._exit: asyncio.Future[int] = loop.create_future()
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            self._hang_up_once()
            raise
        loop.add_reader(self._pidfd, self._on_exit)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._exit.result() if self._exit.done() else None

    async def wait(self) -> int:
        """Return the exit code once the process has exited."""
        return await asyncio.shield(self._exit)

    async def end(self, seconds: float = END_SECONDS) -> int:
        """Ask the process to exit and kill it when it still runs after `seconds`. Returns the exit code."""
        self._hang_up_once()
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            self._process.kill()
            return await self.wait()

    def kill(self) -> None:
        """End a process that does not answer, by force. `wait` returns as after any other exit."""
        self._process.kill()

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exit.set_result(self._process.wait())
        self._hang_up_once()

    def _hang_up_once(self) -> None:
        hang_up, self._hang_up = self._hang_up, None
        if hang_up is not None:
            hang_up()


@dataclass(frozen=True, slots=True)
class BackOff:
    """Pauses before restarts: none, then `first_seconds`, doubling up to `max_seconds`.

    A process that was up for `reset_seconds` is restarted at once again.
    """

    first_seconds: float = 0.01
    max_seconds: float = 1.0
    reset_seconds: float = 5.0

    def after(self, pause_seconds: float) -> float:
        """Return the pause that follows a pause."""
        return min(max(self.first_seconds, 2 * pause_seconds), self.max_seconds)


Process = TypeVar("Process", bound=Supervised)


class Supervisor(Generic[Process]):
    """Keeps one process running from `start()` to `close()`.

    `spawn` starts a process. `on_exit` is called with the exit code of each process that was not ended on purpose,
    before the next one is started.
    """

    def __init__(
        self, spawn: Callable[[], Awaitable[Process]], on_exit: Callable[[int], None], back_off: BackOff | None = None
    ) -> None:
        self._spawn = spawn
        self._on_exit = on_exit
        self._back_off = back_off or BackOff()
        self._spawning: asyncio.Future[Process] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.process: Process | None = None
        self.restarts = 0

    async def start(self) -> None:
        """Start the first process.

        Raises:
            OSError: the process can't be started.
        """
        self.process = await self._spawned()
        self._watch = asyncio.create_task(self._keep_running())

    async def start_or_retry(self) -> None:
        """Start the first process. Where that fails, it is retried in the background, as after an exit."""
        try:
            await self.start()
        except Exception as error:  # noqa: BLE001 logged, and retried
            self._report(error, self._back_off.first_seconds)
            self._watch = asyncio.create_task(self._keep_running(self._back_off.first_seconds))

    def release(self) -> Process | None:
        """Hand the process over to the caller and start another one; return None while no process runs."""
        process, self.process = self.process, None
        if process is not None and self._watch is not None:
            self._watch.cancel()
            self._watch = asyncio.create_task(self._keep_running())
        return process

    async def close(self, seconds: float = END_SECONDS) -> None:
        """End the process, by force after `seconds`, and start no other."""
        process, self.process = self.process, None
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._spawning is not None:
            # Started meanwhile, and without an owner.
            with contextlib.suppress(Exception):
                process = await self._spawning
        if process is not None:
            await process.end(seconds)

    async def _keep_running(self, pause_seconds: float = 0.0) -> None:
        """Start a process whenever there is none, until that succeeds. Only a cancellation ends it."""
        loop = asyncio.get_running_loop()
        while True:
            while self.process is None:
                await asyncio.sleep(pause_seconds)
                pause_seconds = self._back_off.after(pause_seconds)
                try:
                    self.process = await self._spawned()
                except Exception as error:  # noqa: BLE001 any failure is logged, and the next attempt follows
                    self._report(error, pause_seconds)
            started_at_seconds = loop.time()
            code = await self.process.wait()
            self.process = None
            self.restarts += 1
            try:
                self._on_exit(code)
            except Exception:
                log.exception("the exit of a process could not be handled")
            if loop.time() - started_at_seconds >= self._back_off.reset_seconds:
                pause_seconds = 0.0

    def _report(self, error: Exception, pause_seconds: float) -> None:
        fields = {"reason": f"{describe_failure(error)}: {remedy(error)}", "pause_seconds": pause_seconds}
        known = isinstance(error, OSError | MemoryError)
        log.warning(
            "a process can't be started; the next attempt follows",
            extra={"fields": fields},
            exc_info=None if known else error,
        )

    async def _spawned(self) -> Process:
        # Shielded: a process that is being started is not lost when the wait for it is cancelled.
        self._spawning = asyncio.ensure_future(self._spawn())
        try:
            process = await asyncio.shield(self._spawning)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._spawning = None
            raise
        self._spawning = None
        return process
