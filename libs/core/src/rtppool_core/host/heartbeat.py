"""The heartbeat as a control process sees it: started, supervised, and read."""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rtppool_core.host.beat_loop import unseen_before_stall_ns
from rtppool_core.host.beat_process import REAL_TIME
from rtppool_core.host.beat_words import DUE
from rtppool_core.host.beats_memory import (
    Block,
    EventReader,
    Header,
    TakenTime,
    make_memory,
    memory_bytes,
    stall_in_progress,
)
from rtppool_core.host.own_processes import PROGRAMS, cpu_ns
from rtppool_core.process.early_stop import stop_signals_blocked
from rtppool_core.process.supervisor import BackOff, ChildProcess, Supervisor

MAX_PROCESSORS = 4
PYTHON_BEAT = "rtppool_core.host.beat_process"
BACK_OFF = BackOff(first_seconds=1.0, max_seconds=60.0, reset_seconds=300.0)

log = logging.getLogger(__name__)


def watched_processors() -> list[int]:
    """Return the processors that this process may use, as many as are watched."""
    return sorted(os.sched_getaffinity(0))[:MAX_PROCESSORS]


class Heartbeat:
    """A heartbeat for each of `processors`. `real_time`: it asks for real-time priority, as packet processes do.

    Time in which processes of `programs` hold a processor is not taken time. `module` runs as the heartbeat; that of
    this package beats in plain Python.

    Call `start` from the event loop while the process has the niceness of the packet processes, and `close` at the end.
    """

    def __init__(
        self,
        processors: Sequence[int],
        *,
        real_time: bool,
        programs: Sequence[str] = PROGRAMS,
        module: str = PYTHON_BEAT,
    ) -> None:
        self.processors = tuple(processors)
        self.memory_descriptor = make_memory(len(processors))
        self._module = module
        self._arguments = [",".join(map(str, processors)), ",".join(programs), *([REAL_TIME] if real_time else [])]
        self._memory = mmap.mmap(self.memory_descriptor, memory_bytes(len(processors)))
        words = memoryview(self._memory).cast("q")
        self._header = Header(words)
        self._blocks = [Block(words, at, processor) for at, processor in enumerate(processors)]
        self._readers = [EventReader(block) for block in self._blocks]
        self._supervisor = Supervisor(self._spawn, self._on_exit, BACK_OFF)
        # Of a thread that keeps the niceness of the start: a process inherits that of the thread that starts it.
        self._starter = ThreadPoolExecutor(1, "heartbeat-starter")
        self._exit_code: int | None = None

    async def start(self) -> None:
        """Start the heartbeat. Where that fails, it is retried in the background."""
        await self._supervisor.start_or_retry()

    async def close(self) -> None:
        """End the heartbeat."""
        # By force: it has nothing to finish, and reads its pipe only after its imports.
        await self._supervisor.close(0)
        await asyncio.to_thread(self._starter.shutdown)
        os.close(self.memory_descriptor)

    @property
    def pid(self) -> int | None:
        """The id of the heartbeats' parent; None while none runs."""
        return None if self._supervisor.process is None else self._supervisor.process.pid

    @property
    def absence(self) -> str | None:
        """A clause that says why no processor is watched; None while all are."""
        if all(block.words[DUE] for block in self._blocks):
            return None
        if self._exit_code is not None:
            return f"the heartbeat ended with code {self._exit_code} and is started again"
        return "the heartbeat has not started yet"

    @property
    def watched(self) -> list[int]:
        """The processors whose heartbeat runs."""
        return [block.processor for block in self._blocks if block.words[DUE]]

    def observe(self, packet_pids: Collection[int]) -> None:
        """Watch the waits of these processes from now on."""
        if list(packet_pids) != self._header.packet_pids:
            self._header.packet_pids = list(packet_pids)

    def new_events(self) -> list[TakenTime]:
        """Return the stalls and waits since the last call."""
        return [event for reader in self._readers for event in reader.new()]

    @property
    def overwritten(self) -> int:
        """The stalls and waits so far that were overwritten before they were read."""
        return sum(reader.overwritten for reader in self._readers)

    def in_progress(self, now_ns: int, raw_offset_ns: int) -> list[TakenTime]:
        """Return the stalls that last until now, less the CPU time of the product's processes meanwhile.

        A process counts for every processor, so that time of its own never counts as taken.
        """
        found = []
        for block in self._blocks:
            stall = stall_in_progress(block, now_ns)
            if stall is None:
                continue
            end_ns = now_ns - _used_ns(block)
            if end_ns > stall[0]:
                unseen_ns = unseen_before_stall_ns(block.words)
                taken = TakenTime(block.processor, stall[0], end_ns, raw_offset_ns, is_wait=False, unseen_ns=unseen_ns)
                found.append(taken)
        return found

    async def _spawn(self) -> ChildProcess:
        theirs, ours = os.pipe()
        start = partial(_start, self._module, (self.memory_descriptor, theirs), self._arguments)
        try:
            process = await asyncio.get_running_loop().run_in_executor(self._starter, start)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ChildProcess(process, hang_up=partial(os.close, ours))

    def _on_exit(self, code: int) -> None:
        self._exit_code = code
        for block in self._blocks:
            block.clear()
        log.warning("the heartbeat ended; it is started again", extra={"fields": {"code": code}})


def _used_ns(block: Block) -> int:
    """Return the CPU time of the product's processes since a heartbeat last read their clocks."""
    clocks = block.latest_clocks()
    now = {pid: cpu_ns(pid) for pid in clocks}
    return sum(max(0, clock - clocks[pid]) for pid, clock in now.items() if clock is not None)


def _start(module: str, descriptors: tuple[int, int], arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    with stop_signals_blocked():
        return subprocess.Popen(  # noqa: S603 our own interpreter and module
            [sys.executable, "-m", module, *map(str, descriptors), *arguments],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
        )
