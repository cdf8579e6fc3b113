"""External commands as named steps: output to a file, progress to the user, the end of the output on a failure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from lab.base.errors import LabError
from lab.base.processes import tail_of

REPORT_EVERY_SECONDS = 20.0
POLL_SECONDS = 0.2
SHORT_STEP_SECONDS = 10


class Steps:
    """The steps of a command, with their output in `logs`. Several threads may use it."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        logs.mkdir(parents=True, exist_ok=True)

    def say(self, line: str) -> None:
        """Print one line to stderr; stdout is for the result of a command."""
        with self._lock:
            print(line, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """End the steps of other threads; each raises a LabError there."""
        self._stopped.set()

    def log_file(self, name: str) -> Path:
        """Return the log file of the step `name`."""
        return self._logs / f"{name.replace(' ', '-').replace('/', '-')}.log"

    def run(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        expected_seconds: int,
        advice: str = "",
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        source: IO[bytes] | None = None,
    ) -> None:
        """Run `command` to its end.

        Args:
            name: names the step and its log file.
            command: argument list.
            expected_seconds: duration on a machine with two cores; shown to the user.
            advice: the remedy for a failure.
            folder: working folder.
            variables: added to the environment.
            source: standard input.

        Raises:
            LabError: it cannot be started or ends with another code than 0; the message has the end of its output.
        """
        log = self.log_file(name)
        started = time.monotonic()
        long = expected_seconds > SHORT_STEP_SECONDS
        if long:
            self.say(f"{name}: started, up to {clock(expected_seconds)} the first time")
        with log.open("wb") as output:
            output.write(f"$ {' '.join(map(str, command))}\n".encode())
            output.flush()
            try:
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    stdin=source or subprocess.DEVNULL,
                    cwd=folder,
                    env={**os.environ, **(variables or {})},
                )
            except OSError as error:
                raise LabError(f"{name}: {command[0]} could not be started: {error.strerror}. {advice}") from error
            code = self._watch(process, name, started, expected_seconds)
        if code != 0:
            raise LabError(failure(name, code, log, advice))
        self.say(f"{name}: done in {clock(time.monotonic() - started)}")

    def _watch(self, process: subprocess.Popen[bytes], name: str, started: float, expected_seconds: int) -> int:
        reported = started
        try:
            while process.poll() is None and not self._stopped.wait(POLL_SECONDS):
                now = time.monotonic()
                if now - reported >= REPORT_EVERY_SECONDS:
                    reported = now
                    self.say(f"{name}: running for {clock(now - started)}, usually {clock(expected_seconds)}")
        finally:
            if (code := process.poll()) is None:
                process.terminate()
                process.wait()
        if code is None:
            raise LabError(f"{name}: stopped, because another step failed")
        return code


def clock(seconds: float) -> str:
    """Format seconds as minutes and seconds, such as `1:05`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def failure(name: str, code: int, log: Path, advice: str) -> str:
    """Describe a failed step: its code, the end of its output, the remedy."""
    return f"{name}: ended with code {code}. The end of {log}:\n{tail_of(log)}\n{advice}".rstrip()


def ask(command: Sequence[str | Path], *, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    """Run a short command quietly; a missing program is code 127, one that does not end in time is code 124."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds)
    except OSError as error:
        return subprocess.CompletedProcess(words, 127, "", str(error))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"{words[0]} did not end within {seconds:g} s")
