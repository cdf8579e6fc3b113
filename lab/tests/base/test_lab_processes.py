import signal
from pathlib import Path

import pytest

from lab.base.errors import LabError
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
