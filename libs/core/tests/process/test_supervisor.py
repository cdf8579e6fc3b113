from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from rtppool_core.process.supervisor import BackOff, ChildProcess, Supervisor

SLEEP_FOREVER = "import signal; print('up', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
END_WITH_PIPE = "import os, sys; os.read(int(sys.argv[1]), 1)"


def spawn(code: str, *arguments: str, descriptors: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-I", "-S", "-c", code, *arguments], pass_fds=descriptors, stdout=subprocess.PIPE
    )


def spawn_ready(code: str) -> subprocess.Popen[bytes]:
    process = spawn(code)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"up\n"
    return process


async def test_an_exit_is_noticed_with_its_code_and_hangs_up_once() -> None:
    calls: list[str] = []
    with spawn("raise SystemExit(7)") as process:
        child = ChildProcess(process, partial(calls.append, "hung up"))
        before = child.exit_code
        assert await asyncio.wait_for(child.wait(), 30) == 7
        assert await child.end() == 7
    assert (before, child.exit_code, calls) == (None, 7, ["hung up"])


async def test_a_process_that_was_killed_has_the_signal_as_its_code() -> None:
    child = ChildProcess(spawn_ready(SLEEP_FOREVER))
    os.kill(child.pid, signal.SIGKILL)
    assert await asyncio.wait_for(child.wait(), 30) == -signal.SIGKILL


async def test_a_process_is_ended_by_sigterm() -> None:
    assert await ChildProcess(spawn_ready(SLEEP_FOREVER)).end(30) == -signal.SIGTERM


async def test_a_process_is_ended_by_closing_its_pipe() -> None:
    theirs, ours = os.pipe()
    with spawn(END_WITH_PIPE, str(theirs), descriptors=(theirs,)) as process:
        os.close(theirs)
        assert await ChildProcess(process, partial(os.close, ours)).end(30) == 0


async def test_a_process_that_ignores_the_request_is_killed_after_the_deadline() -> None:
    assert await ChildProcess(spawn_ready(DEAF)).end(0.01) == -signal.SIGKILL


async def test_a_process_whose_exit_can_not_be_noticed_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    calls: list[str] = []
    process = spawn_ready(SLEEP_FOREVER)
    with pytest.raises(OSError, match="Too many open files"):
        ChildProcess(process, partial(calls.append, "hung up"))
    assert (process.returncode, calls) == (-signal.SIGKILL, ["hung up"])


class Scripted:
    """A process that exits when the test wants it to."""

    def __init__(self) -> None:
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended_within: float | None = None

    async def wait(self) -> int:
        return await asyncio.shield(self.exit)

    async def end(self, seconds: float) -> int:
        self.ended_within = seconds
        self.exit.set_result(0)
        return 0


class Owner:
    """Spawns scripted processes and records when."""

    def __init__(self) -> None:
        self.processes: list[Scripted] = []
        self.spawned_at_seconds: list[float] = []
        self.codes: list[int] = []
        self.failures = 0
        self.error: BaseException = OSError(11, "Resource temporarily unavailable")
        self.spawned = asyncio.Event()
        self.may_spawn = asyncio.Event()
        self.may_spawn.set()
        self.supervisor = Supervisor(self.spawn, self.codes.append, BackOff(0.25, 1.0, 5.0))

    async def spawn(self) -> Scripted:
        await self.may_spawn.wait()
        self.spawned_at_seconds.append(asyncio.get_running_loop().time())
        if self.failures:
            self.failures -= 1
            raise self.error
        self.processes.append(Scripted())
        self.spawned.set()
        return self.processes[-1]

    async def exits_after(self, seconds: float) -> None:
        """Let the newest process live for `seconds`, and wait for its successor."""
        await asyncio.sleep(seconds)
        self.processes[-1].exit.set_result(1)
        self.spawned.clear()
        await self.spawned.wait()

    def pauses_seconds(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.spawned_at_seconds)]


@pytest.mark.looptime
async def test_restarts_are_at_once_then_after_pauses_that_double_up_to_the_maximum() -> None:
    owner = Owner()
    await owner.supervisor.start()
    for _ in range(6):
        await owner.exits_after(0)
    assert owner.pauses_seconds() == [0, 0.25, 0.5, 1, 1, 1]
    assert owner.supervisor.restarts == 6
    assert owner.codes == [1] * 6
    await owner.supervisor.close()


@pytest.mark.looptime
async def test_a_process_that_was_up_for_long_is_restarted_at_once() -> None:
    owner = Owner()
    await owner.supervisor.start()
    for _ in range(3):
        await owner.exits_after(0)
    await owner.exits_after(5)
    await owner.exits_after(0)
    assert owner.pauses_seconds() == [0, 0.25, 0.5, 5, 0.25]
    await owner.supervisor.close()


@pytest.mark.looptime
async def test_a_failed_start_is_logged_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    await owner.supervisor.start()
    owner.failures = 2
    await owner.exits_after(0)
    assert owner.pauses_seconds() == [0, 0.25, 0.5]
    assert owner.supervisor.restarts == 1
    assert caplog.text.count("a process can't be started") == 2
    await owner.supervisor.close()


@pytest.mark.looptime
async def test_the_first_failed_start_is_the_callers() -> None:
    owner = Owner()
    owner.failures = 1
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        await owner.supervisor.start()
    await owner.supervisor.close()


@pytest.mark.looptime
async def test_closing_ends_the_process_and_starts_no_other() -> None:
    owner = Owner()
    await owner.supervisor.start()
    await owner.supervisor.close(3)
    await asyncio.sleep(10)
    assert [process.ended_within for process in owner.processes] == [3]
    assert (owner.supervisor.process, owner.supervisor.restarts, owner.codes) == (None, 0, [])


@pytest.mark.looptime
async def test_closing_ends_a_process_that_is_being_started() -> None:
    owner = Owner()
    await owner.supervisor.start()
    owner.may_spawn.clear()
    owner.processes[0].exit.set_result(1)
    await asyncio.sleep(1)
    closing = asyncio.create_task(owner.supervisor.close(3))
    await asyncio.sleep(1)
    owner.may_spawn.set()
    await closing
    assert [process.ended_within for process in owner.processes] == [None, 3]


@pytest.mark.looptime
async def test_closing_before_the_start_does_nothing() -> None:
    owner = Owner()
    await owner.supervisor.close()
    assert owner.processes == []


@pytest.mark.looptime
async def test_a_released_process_goes_on_without_supervision_and_another_takes_its_place() -> None:
    owner = Owner()
    await owner.supervisor.start()
    released = owner.supervisor.release()
    assert released is owner.processes[0]
    await asyncio.sleep(1)
    assert owner.supervisor.process is owner.processes[1]
    await owner.supervisor.close()
    owner.processes[0].exit.set_result(1)
    await asyncio.sleep(10)
    assert (len(owner.processes), released.ended_within, owner.codes, owner.supervisor.restarts) == (2, None, [], 0)


@pytest.mark.looptime
async def test_nothing_is_released_while_no_process_runs_and_the_restart_goes_on() -> None:
    owner = Owner()
    await owner.supervisor.start()
    owner.may_spawn.clear()
    owner.processes[0].exit.set_result(1)
    await asyncio.sleep(1)
    assert owner.supervisor.release() is None
    owner.may_spawn.set()
    await asyncio.sleep(1)
    assert owner.supervisor.process is owner.processes[1]
    await owner.supervisor.close()


@pytest.mark.looptime
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread"), OSError(24, "x")])
async def test_a_start_that_fails_in_any_way_is_repeated_until_the_process_is_there(error: Exception) -> None:
    owner = Owner()
    await owner.supervisor.start()
    owner.failures, owner.error = 20, error
    await owner.exits_after(0)
    await asyncio.sleep(0.01)
    assert owner.supervisor.process is owner.processes[1]
    assert max(owner.pauses_seconds()) == 1
    await owner.supervisor.close()


@pytest.mark.looptime
async def test_a_first_start_may_fail_and_is_repeated_where_the_owner_can_wait() -> None:
    owner = Owner()
    owner.failures = 3
    await owner.supervisor.start_or_retry()
    assert owner.supervisor.process is None
    await owner.spawned.wait()
    await asyncio.sleep(0.01)
    assert owner.supervisor.process is owner.processes[0]
    await owner.supervisor.close()


@pytest.mark.looptime
async def test_an_exit_that_can_not_be_handled_is_followed_by_the_next_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_code: int) -> None:
        raise ValueError("no")

    owner = Owner()
    owner.supervisor = Supervisor(owner.spawn, fail, BackOff(0.25, 1.0, 5.0))
    await owner.supervisor.start()
    await owner.exits_after(0)
    assert owner.supervisor.restarts == 1
    assert "the exit of a process could not be handled" in caplog.text
    await owner.supervisor.close()
