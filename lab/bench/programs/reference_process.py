"""A reference program that runs: lines to its standard input, lines from its standard output."""

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

ANSWER_SECONDS = 30.0


class ReferenceProcess:
    """Speaks with a program by lines. It is ended by force: it holds nothing that must be put away."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def expect(self, word: str, within_seconds: float = ANSWER_SECONDS) -> list[str]:
        """The next line, which must begin with `word`; returns its other words.

        Raises:
            LabError: it ended, said something else, or nothing in time.
        """
        words = (await self._line(within_seconds)).split()
        if not words or words[0] != word:
            raise LabError(f"{self.name}: {word!r} was expected, it said {' '.join(words)!r}")
        return words[1:]

    async def json(self, within_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The next line, as JSON."""
        document: dict[str, Any] = json.loads(await self._line(within_seconds))
        return document

    def tell(self, line: str) -> None:
        """Send it a line."""
        if self._process.stdin is None:
            raise AssertionError("a pipe was asked for")
        self._process.stdin.write(f"{line}\n".encode())

    def close_input(self) -> None:
        """The end of what it is told."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> None:
        """End it if it still runs."""
        if self._process.returncode is None:
            # Not `kill()`: that would reap a process that has just ended, behind the event loop's back.
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
            raise LabError(f"{self.name}: said nothing for {within_seconds:.0f} s") from error
        if not line:
            raise LabError(f"{self.name}: ended; its message is above")
        return line.decode().rstrip("\n")


@asynccontextmanager
async def running(program: Path, *arguments: object) -> AsyncIterator[ReferenceProcess]:
    """Start a program for the length of the block; its errors go to ours."""
    process = await asyncio.create_subprocess_exec(
        program, *map(str, arguments), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20
    )
    reference = ReferenceProcess(program.name, process)
    try:
        yield reference
    finally:
        await reference.end()
