import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.base.places import REPOSITORY
from lab.base.proc import command_line
from lab.base.processes import Process

VARIABLES = {"PATH": "/usr/bin:/bin"}


async def test_the_end_of_a_process_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = Process("short", ["sh", "-c", "echo one; echo two; exit 3"], VARIABLES, tmp_path / "log")
    assert await process.wait() == 3
    with pytest.raises(LabError, match="short ended with code 3:\n    one\n    two"):
        process.check()


async def test_a_paused_process_can_be_ended(tmp_path: Path) -> None:
    process = Process("sleeper", ["sleep", "600"], VARIABLES, tmp_path / "log")
    process.pause()
    process.check()
    await process.end()
    assert process.exit_code == -signal.SIGTERM
    assert command_line(process.pid) == ""


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    process = Process("stubborn", ["sh", "-c", "trap '' TERM; echo up; exec sleep 600"], VARIABLES, tmp_path / "log")
    while "up" not in process.tail():
        process.check()
    await process.end(within_seconds=0.1)
    assert process.exit_code == -signal.SIGKILL
    await process.end()


def test_a_process_ends_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\n"
        "from lab.base.processes import Process\n"
        f"print(Process('sleeper', ['sleep', '600'], {VARIABLES!r}, Path({str(tmp_path / 'log')!r})).pid, flush=True)\n"
        "input()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        while not command_line(pid).startswith("sleep"):  # setpriv has run, so the kernel knows the parent
            pass
        parent.kill()
    deadline = time.monotonic() + 20
    while command_line(pid) and time.monotonic() < deadline:
        pass
    assert command_line(pid) == ""
