"""Child processes of `make run`: started with their settings, their logs in files, ended by their ids."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

END_SECONDS = 5.0
POLL_SECONDS = 0.05
LINES_SHOWN = 5


class ChildFailed(Exception):  # noqa: N818 an outcome, told with the child's own words
    """A process ended that should have gone on; the message has the last lines of its log."""


@dataclass(slots=True)
class Child:
    """One process and the file of its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Notice its end.

        Raises:
            ChildFailed: it ended.
        """
        code = self.process.poll()
        if code is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
            raise ChildFailed("\n  ".join([f"{self.name} ended with exit code {code}:", *lines]))

    async def end(self) -> None:
        """Ask it to end, and make it end if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + END_SECONDS
        while self.process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                self.process.kill()
            await asyncio.sleep(POLL_SECONDS)


def start(name: str, arguments: list[str], settings: Mapping[str, str], logs: Path) -> Child:
    """Start `python -m` with these arguments and, beside PATH and the like, only these settings.

    In a session of its own: a Ctrl-C is for us, who end the children in order.
    """
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    log = logs / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=kept | dict(settings),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(name, process, log)
