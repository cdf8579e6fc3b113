"""The heartbeat as a real process, on a processor of this machine that other work may use as well."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from rtppool_core.host.beat_process import PYTHON_PERIOD_NS
from rtppool_core.host.beat_words import MIN_STALL_NS
from rtppool_core.host.beats_memory import TakenTime
from rtppool_core.host.heartbeat import Heartbeat, watched_processors
from rtppool_core.host.intervals import overlap_ns, united
from rtppool_testing.waiting import until

MS = 1_000_000
PROGRAM = "a_program_of_this_test"
BURN = "while True: pass"
# Bursts at a priority above every heartbeat's. Each is announced with its begin and its end.
BURSTS = """
import os, sys, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
for _ in range(300):
    begin = time.monotonic_ns()
    while time.monotonic_ns() - begin < 30_000_000: pass
    print(begin, time.monotonic_ns(), flush=True)
    time.sleep(0.1)
"""

Start = Callable[..., subprocess.Popen[str]]


def may_have_real_time() -> bool:
    request = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))"
    return subprocess.run([sys.executable, "-c", request], check=False, capture_output=True).returncode == 0  # noqa: S603 fixed arguments


needs_real_time = pytest.mark.skipif(not may_have_real_time(), reason="the kernel grants no real-time priority here")


@pytest.fixture
def processor() -> int:
    return watched_processors()[-1]


@contextlib.asynccontextmanager
async def beating(processor: int, *, real_time: bool = False) -> AsyncIterator[Heartbeat]:
    heartbeat = Heartbeat([processor], real_time=real_time, programs=[PROGRAM])
    await heartbeat.start()
    try:
        await until(lambda: heartbeat.absence is None, "the heartbeat beats")
        yield heartbeat
    finally:
        await heartbeat.close()


@pytest.fixture
async def heartbeat(processor: int) -> AsyncIterator[Heartbeat]:
    async with beating(processor) as heartbeat:
        yield heartbeat


@pytest.fixture
def start(processor: int) -> Iterator[Start]:
    """Start a Python process with these arguments on the watched processor."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 fixed arguments
        os.sched_setaffinity(process.pid, {processor})
        started.append(process)
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def children_of(pid: int | None) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def stop(pid: int, seconds: float) -> tuple[int, int]:
    """Stop a process for a while, and return when it was certainly stopped."""
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "stopped")
    begin = time.monotonic_ns()
    await asyncio.sleep(seconds)
    end = time.monotonic_ns()
    os.kill(pid, signal.SIGCONT)
    return begin, end


class Events:
    """All events of a heartbeat since the begin."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self.all: list[TakenTime] = []

    def read(self) -> list[TakenTime]:
        self.all += self._heartbeat.new_events()
        return self.all

    def stalled_ns(self, begin: int, end: int) -> int:
        stalls = [(event.start_ns, event.end_ns) for event in self.read() if not event.is_wait]
        return overlap_ns(united(stalls), begin, end)

    def waited_ns(self, begin: int, end: int) -> int:
        waits = [(event.start_ns, event.end_ns) for event in self.read() if event.is_wait]
        return overlap_ns(united(waits), begin, end)


async def test_a_heartbeat_that_stands_still_shows_the_whole_stall_but_the_time_before_it_was_due(
    heartbeat: Heartbeat,
) -> None:
    events = Events(heartbeat)
    (child,) = children_of(heartbeat.pid)
    begin, end = await stop(child, 0.2)
    await until(lambda: events.stalled_ns(begin, end) > 0, "the stall is written")
    assert events.stalled_ns(begin, end) >= end - begin - PYTHON_PERIOD_NS - MIN_STALL_NS


async def test_a_stall_is_visible_while_it_lasts(heartbeat: Heartbeat, processor: int) -> None:
    (child,) = children_of(heartbeat.pid)
    os.kill(child, signal.SIGSTOP)
    begin = time.monotonic_ns()
    await asyncio.sleep(0.1)
    now = time.monotonic_ns()
    (stall,) = heartbeat.in_progress(now, raw_offset_ns=5)
    os.kill(child, signal.SIGCONT)
    assert (stall.processor, stall.raw_offset_ns, stall.is_wait) == (processor, 5, False)
    # Less the CPU time of this test's process, which started the heartbeat.
    assert overlap_ns([(stall.start_ns, stall.end_ns)], begin, now) > 50 * MS


@needs_real_time
async def test_a_foreign_process_of_higher_priority_is_a_stall_of_the_time_that_it_took(
    heartbeat: Heartbeat, start: Start
) -> None:
    events = Events(heartbeat)
    for begin, end in await bursts_of(start("-c", BURSTS)):
        assert events.stalled_ns(begin, end) >= end - begin - PYTHON_PERIOD_NS - MIN_STALL_NS


@needs_real_time
async def test_time_that_a_process_of_the_product_took_is_no_stall(processor: int, start: Start) -> None:
    # At real-time priority, so that this test's other processes do not delay its beats further.
    async with beating(processor, real_time=True) as heartbeat:
        process = start("-c", BURSTS, "-m", PROGRAM)
        await until(lambda: process.pid in heartbeat._header.own, "the process is known")
        # Until its clock has been read for a while.
        await bursts_of(process)
        events = Events(heartbeat)
        bursts = await bursts_of(process)
        took = sum(end - begin for begin, end in bursts)
        assert sum(events.stalled_ns(begin, end) for begin, end in bursts) < took / 5


async def bursts_of(process: subprocess.Popen[str]) -> list[tuple[int, int]]:
    """Return begin and end of the next bursts. Their events are complete soon after the last one."""
    assert process.stdout is not None
    now_ns = time.monotonic_ns()
    bursts: list[tuple[int, int]] = []
    while len(bursts) < 8:
        begin, end = map(int, (await asyncio.to_thread(process.stdout.readline)).split())
        if begin > now_ns:
            bursts.append((begin, end))
    await asyncio.sleep(0.1)
    return bursts


async def test_a_foreign_process_of_the_same_priority_makes_a_packet_process_wait(
    heartbeat: Heartbeat, start: Start
) -> None:
    events = Events(heartbeat)
    begin = time.monotonic_ns()
    heartbeat.observe([start("-c", BURN).pid])
    start("-c", BURN)
    await until(lambda: events.waited_ns(begin, time.monotonic_ns()) > 100 * MS, "waits of 100 ms in all")


async def test_a_packet_process_that_is_stopped_waits_for_no_processor(heartbeat: Heartbeat, start: Start) -> None:
    events = Events(heartbeat)
    process = start("-c", BURN)
    start("-c", BURN)
    heartbeat.observe([process.pid])
    begin = time.monotonic_ns()
    await until(lambda: events.waited_ns(begin, time.monotonic_ns()) > 0, "its waits are read")
    begin, end = await stop(process.pid, 0.4)
    # Its last wait before the stop may be read up to some beats into it.
    assert events.waited_ns(begin + 50 * MS, end) == 0


async def test_a_heartbeat_that_was_killed_is_absent_and_starts_again(heartbeat: Heartbeat) -> None:
    first = heartbeat.pid
    (child,) = children_of(first)
    os.kill(child, signal.SIGKILL)
    await until(lambda: heartbeat.pid != first, "its parent has ended")
    await until(lambda: heartbeat.absence is None and heartbeat.pid is not None, "another one beats")
    assert heartbeat.pid != first


async def test_a_dead_heartbeat_is_no_stall(heartbeat: Heartbeat) -> None:
    await heartbeat._supervisor.close()
    heartbeat._on_exit(-9)
    assert heartbeat.in_progress(time.monotonic_ns() + 10**12, 0) == []
    assert heartbeat.watched == []
    assert heartbeat.absence == "the heartbeat ended with code -9 and is started again"


async def test_no_heartbeat_outlives_its_parent(heartbeat: Heartbeat) -> None:
    assert heartbeat.pid is not None
    (child,) = children_of(heartbeat.pid)
    os.kill(heartbeat.pid, signal.SIGKILL)
    await until(lambda: not is_running(child), "the child has noticed")


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def test_a_heartbeat_beats_on_its_own_processor_with_the_scheduling_of_an_ordinary_process(
    heartbeat: Heartbeat, processor: int
) -> None:
    (child,) = children_of(heartbeat.pid)
    assert os.sched_getaffinity(child) == {processor}
    assert os.sched_getscheduler(child) == os.SCHED_OTHER
    assert os.getpriority(os.PRIO_PROCESS, child) == os.getpriority(os.PRIO_PROCESS, 0)


@needs_real_time
async def test_a_heartbeat_of_real_time_packet_processes_preempts_them(processor: int) -> None:
    async with beating(processor, real_time=True) as heartbeat:
        (child,) = children_of(heartbeat.pid)
        assert os.sched_getscheduler(child) == os.SCHED_RR
        assert os.sched_getparam(child).sched_priority == os.sched_get_priority_min(os.SCHED_RR) + 1
