"""One program of the harness as a process: started with its log in a file, paused, killed and ended by its id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.faults.operator.errors import HarnessError

END_SECONDS = 10.0
POLL_SECONDS = 0.02
LINES_SHOWN = 8
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
KEPT_VARIABLES = ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR")


class ServerProcess:
    """Runs from construction on. In a session of its own: a Ctrl-C is for us, who end it in order."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        kept = {key: os.environ[key] for key in KEPT_VARIABLES if key in os.environ}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                env=kept | dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        """Whether it has not ended; a paused process runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Notice its end.

        Raises:
            HarnessError: it ended; the message has the last lines of its log.
        """
        if not self.runs:
            raise HarnessError(f"{self.name} ended with code {self.exit_code}:\n  {self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n  ".join(self.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:])

    def pause(self) -> None:
        """Stop it where it is (SIGSTOP): its connections stay open and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        self._process.kill()
        await self._gone()

    async def end(self) -> None:
        """Ask it to end (SIGTERM), and make it end if it does not within ten seconds."""
        if not self.runs:
            return
        self.resume()
        self._process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._gone()
                return
        await self.kill()

    def resident_bytes(self) -> int:
        """Memory that it holds now (RSS)."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def cpu_seconds(self) -> float:
        """Processor time that it has used, user and system."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _gone(self) -> None:
        while self.runs:
            await asyncio.sleep(POLL_SECONDS)
