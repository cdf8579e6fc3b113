"""`make run` in a pseudo-terminal: its keys and its table."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from rtppool_testing.ports import free_port, free_range
from rtppool_testing.waiting import until

COLUMNS, LINES = 200, 60
END_SECONDS = 30
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
REVERSE = "\x1b[7m"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROUND_TRIP = re.compile(r"now \(calls\): round trip p50 ([0-9.]+) ms")
LOST = re.compile(r"now \(calls\): .* lost (\d+) of")
ACTIVE = re.compile(r"calls (\d+) active")


@dataclass
class Terminal:
    """A running demonstration. `raw` is its output."""

    process: subprocess.Popen[bytes]
    descriptor: int
    http_port: int
    raw: str = ""

    @property
    def text(self) -> str:
        """Its output without control sequences."""
        return CONTROL.sub("", self.raw)

    def press(self, key: str) -> float:
        """Press a key and forget the output before it. Returns the time."""
        self.raw = ""
        os.write(self.descriptor, key.encode())
        return time.monotonic()

    def latest(self, pattern: re.Pattern[str]) -> float | None:
        """Return the number of the last match, None while there is none."""
        found = pattern.findall(self.text)
        return float(found[-1]) if found else None

    def marks(self, label: str) -> bool | None:
        """Return whether a switch is marked at last, None while it is not shown."""
        before, found, _ = self.raw.rpartition(label)
        return before.endswith(REVERSE) if found else None

    async def until(self, holds: Callable[[], bool], expected: str) -> None:
        """Wait until the table shows something."""
        try:
            await until(holds, expected)
        except AssertionError as error:
            raise AssertionError(f"{error}; the terminal shows {self.text[-3000:]}") from error

    def read(self) -> None:
        """Take its new output."""
        with contextlib.suppress(OSError):
            self.raw += os.read(self.descriptor, 1 << 16).decode(errors="replace")


@contextlib.asynccontextmanager
async def terminal(calls: int = 3, lines: int = LINES, columns: int = COLUMNS) -> AsyncIterator[Terminal]:
    """Run the demonstration in a terminal until its calls are there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    http_port = free_port()
    ports = {"--http-port": http_port, "--echo-http-port": free_port(), "--echo-port": free_port()}
    words = ["--calls", str(calls), "--port-range", str(free_range(16))]
    words += [str(word) for pair in ports.items() for word in pair]
    process = subprocess.Popen(  # noqa: ASYNC220 it starts at once
        [sys.executable, "-m", "rtppool_callgen", "run", *words],
        env={name: os.environ[name] for name in KEPT if name in os.environ} | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 the terminal is that of its session
    )
    os.close(theirs)
    shown = Terminal(process, ours, http_port)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, shown.read)
    try:
        await shown.until(lambda: shown.latest(ACTIVE) == calls, f"{calls} calls")
        await shown.until(lambda: shown.latest(ROUND_TRIP) is not None, "the figures of a second")
        yield shown
    finally:
        loop.remove_reader(ours)
        # Its children end with it, but not when it is killed.
        process.terminate()
        await asyncio.to_thread(process.wait, END_SECONDS)
        # A test may have closed it.
        with contextlib.suppress(OSError):
            os.close(ours)


def processes_with(setting: bytes) -> set[int]:
    """Return the ids of running processes that have a setting in their environment."""
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if setting in (each / "environ").read_bytes().split(b"\0"):
                found.add(int(each.name))
    return found
