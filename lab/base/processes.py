"""One program of a rig as a process: its log in a file, stopped and ended by its process id alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.base.errors import LabError

END_SECONDS = 10.0
TAIL_LINES = 15


class Process:
    """A process that runs from construction on, in a session of its own.

    A Ctrl-C at the terminal reaches the lab alone, which then ends its processes in order. Even after a kill of the lab
    no process stays behind: the kernel kills it when its parent ends.

    `variables` is the whole environment; the output is appended to `log`.
    """

    def __init__(self, name: str, command: Sequence[str | Path], variables: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
        self._variables = dict(variables)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def restart(self) -> None:
        """Start the same program again. The former process has ended."""
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process has not ended. A paused process runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while the process runs."""
        return self._process.poll()

    def check(self) -> None:
        """Check that the process runs.

        Raises:
            LabError: it ended; the message has the end of its log.
        """
        if not self.runs:
            raise LabError(f"{self.name} ended with code {self.exit_code}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of the log, indented."""
        return tail_of(self.log)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended is left alone."""
        self._process.send_signal(number)

    def pause(self) -> None:
        """Stop the process (SIGSTOP): its connections stay open and nothing is answered."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused process (SIGCONT)."""
        self.signal(signal.SIGCONT)

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        if self.runs:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            descriptor = os.pidfd_open(self.pid)
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        return self._process.wait()

    async def kill(self) -> None:
        """End the process as a crash does (SIGKILL)."""
        self.signal(signal.SIGKILL)
        await self.wait()

    async def end(self, within_seconds: float = END_SECONDS) -> None:
        """Ask the process to end (SIGTERM); kill it when it does not end in time."""
        self.resume()
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self.wait()
        if self.runs:
            await self.kill()


def tail_of(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, indented; empty without a log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
