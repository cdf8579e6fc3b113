"""Programs of the product as child processes: settings in their environment, logs in files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtppool_core.process.supervisor import ChildProcess

END_SECONDS = 5.0
LAST_LINES = 5


class ChildFailed(Exception):  # noqa: N818 an outcome, with the child's own lines
    """A process ended too early; the message has the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process and the file of its log."""

    name: str
    process: ChildProcess
    log: Path

    def check(self) -> None:
        """Raise when the process has ended.

        Raises:
            ChildFailed: it has.
        """
        code = self.process.exit_code
        if code is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            raise ChildFailed("\n  ".join([f"{self.name} ended with exit code {code}:", *lines]))

    async def end(self) -> None:
        """Send SIGTERM, and SIGKILL when the process still runs after `END_SECONDS`."""
        await self.process.end(END_SECONDS)


def start(
    name: str,
    arguments: list[str],
    settings: Mapping[str, str],
    logs: Path,
    standard_input: int = subprocess.DEVNULL,
) -> Child:
    """Run `python -m` with `arguments` and only these settings beside PATH, HOME, LANG and TMPDIR.

    The process has a session of its own, so that Ctrl-C reaches this process alone, which ends its children in order.
    Where util-linux is installed, a kill of this process kills its children too.
    `standard_input` is a descriptor, by default that of an empty file.
    """
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    log = logs / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*_tied_to_this_process(), sys.executable, "-m", *arguments],
            env=kept | dict(settings),
            stdin=standard_input,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(name, ChildProcess(process), log)


def _tied_to_this_process() -> list[str]:
    """Return the words before a command that has the kernel end it with its parent (setpriv(1), PR_SET_PDEATHSIG)."""
    program = shutil.which("setpriv")
    return [] if program is None else [program, "--pdeathsig", "KILL"]
