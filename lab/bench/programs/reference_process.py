"""A running reference program, controlled by lines on its standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lab.base.errors import LabError
from lab.bench.programs.short_slices import with_short_slices

ANSWER_SECONDS = 30.0


class ReferenceProcess:
    """A running program. It is always killed, because it holds no state."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def expect(self, keyword: str, within_seconds: float = ANSWER_SECONDS) -> list[str]:
        """Read the next line, which must begin with `keyword`, and return the fields after it.

        Raises:
            LabError: the program ended, printed another line, or printed none in time.
        """
        fields = (await self._line(within_seconds)).split()
        if not fields or fields[0] != keyword:
            raise LabError(f"{self.name}: printed {' '.join(fields)!r}, expected {keyword!r}")
        return fields[1:]

    async def json(self, within_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Read the next line as JSON."""
        document: dict[str, Any] = json.loads(await self._line(within_seconds))
        return document

    def send(self, line: str) -> None:
        """Send a line."""
        if self._process.stdin is None:
            raise AssertionError("a pipe was asked for")
        self._process.stdin.write(f"{line}\n".encode())

    def close_input(self) -> None:
        """Close the program's standard input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> None:
        """Kill the program if it still runs."""
        if self._process.returncode is None:
            # Not `kill()`, which would reap an ended process before the event loop does.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await self._process.wait()

    async def _line(self, within_seconds: float) -> str:
        if self._process.stdout is None:
            raise AssertionError("a pipe was asked for")
        try:
            async with asyncio.timeout(within_seconds):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            raise LabError(f"{self.name}: printed nothing for {within_seconds:.0f} s") from error
        if not line:
            raise LabError(f"{self.name}: ended; its message is above")
        return line.decode().rstrip("\n")


@asynccontextmanager
async def running(program: Path, *arguments: object, short_slices: bool = False) -> AsyncIterator[ReferenceProcess]:
    """Run a program for the length of the block. Its standard error is this process's.

    It has a session of its own, as our programs have: the kernel schedules each session as a group (sched(7),
    autogroup), and the switches of a group of its own cost more. `short_slices`: it asks the kernel for what our packet
    processes ask for.
    """
    command = [str(program), *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *(with_short_slices(command) if short_slices else command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
        start_new_session=True,
    )
    reference = ReferenceProcess(program.name, process)
    try:
        yield reference
    finally:
        await reference.end()
