"""The heartbeat: one small process for each watched processor, forked from one parent.

A heartbeat sleeps until its next beat is due. When it wakes late, something else had its processor: the hypervisor, a
process that the kernel did not preempt, or a CPU limit. The packet processes have no better scheduling, so they waited
as well. A process of its own for each processor keeps a stopped processor from holding the others' interpreter.

Started as `python -m MODULE MEMORY LIFE PROCESSORS PROGRAMS [real-time]`; this module beats in plain Python. MEMORY and
LIFE are the descriptors of the memory and of a pipe: it exits when the other end of the pipe is closed. Processors and
programs are separated by commas. Its modules are few: those that `dataclasses` imports would add a tenth to its memory,
and so would `json` and `pathlib`. The lines of a beat in Python are few as well: the caches of a
processor have forgotten them, so each costs some 10 times as much as in a loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import mmap
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection
from typing import NamedTuple, NoReturn

from rtppool_core.host import beat_words as at
from rtppool_core.host.beat_calls import MAX_FILE_BYTES, processor_of
from rtppool_core.host.beat_loop import beat
from rtppool_core.host.beats_memory import Block, Header, WaitingProcess, memory_bytes
from rtppool_core.host.own_processes import OwnProcesses
from rtppool_core.process.scheduling import ask_for_real_time, prioritize

# The last argument: ask for real-time priority.
REAL_TIME = "real-time"
REFRESH_SECONDS = 1.0
# In Python a beat costs about twice that of machine code, which has a shorter period.
PYTHON_PERIOD_NS = 5_000_000
PYTHON_CLOCKS_EVERY = 3
# How often waits are read while nothing happens, and the lists of processes. A wait needs a reading of the clocks.
WAITS_NS = 30_000_000
PROCESSES_NS = 540_000_000


class Beat(NamedTuple):
    """The loop of a heartbeat in one of its forms: it runs on the words of a block (`beat_loop.beat`).

    CPU clocks are read at every `clocks_every`th beat. The longer ago that is, the less is known of who ran in a stall.
    """

    loop: Callable[[memoryview], int]
    period_ns: int
    clocks_every: int


class ProcessorBeat:
    """One processor's heartbeat."""

    def __init__(self, block: Block, header: Header, beat: Beat) -> None:
        self._block = block
        self._header = header
        self._beat = beat
        self._waiting: list[int] = []
        self._run_delays = ProcessFiles("schedstat")
        self._states = ProcessFiles("stat")

    def run(self) -> NoReturn:
        """Beat until a signal ends the process."""
        words, loop, period_ns = self._block.words, self._beat.loop, self._beat.period_ns
        words[at.PROCESSOR], words[at.PERIOD] = self._block.processor, period_ns
        words[at.CLOCKS_EVERY] = self._beat.clocks_every
        words[at.WAITS_EVERY] = WAITS_NS // (period_ns * self._beat.clocks_every) * self._beat.clocks_every
        words[at.USUAL] = words[at.IS_CONTENDED] = words[at.WAIT_COUNT] = 0
        words[at.WOKE] = time.monotonic_ns()
        while True:
            self._refresh()
            words[at.BEATS_LEFT] = PROCESSES_NS // period_ns
            loop(words)

    def _refresh(self) -> None:
        """Read which processes to observe."""
        own, waiting = self._header.own, self._header.assigned_to(self._block.processor)
        self._states.keep({*own, *waiting})
        self._block.observe(own, {pid: self._states.descriptor(pid) for pid in own})
        if waiting != self._waiting:
            self._waiting = waiting
            self._run_delays.keep(waiting)
            self._block.read_waits_of([self._waiting_process(pid) for pid in waiting])

    def _waiting_process(self, pid: int) -> WaitingProcess:
        return WaitingProcess(pid, self._states.descriptor(pid), self._run_delays.descriptor(pid))


class ProcessFiles:
    """Open files of /proc by process: reading one again costs less than opening it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._descriptors: dict[int, int] = {}

    def descriptor(self, pid: int) -> int:
        """Return a process's open file; `UNREAD` where it has exited."""
        if pid not in self._descriptors:
            try:
                self._descriptors[pid] = os.open(f"/proc/{pid}/{self._name}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return at.UNREAD
        return self._descriptors[pid]

    def keep(self, pids: Collection[int]) -> None:
        """Close the files of all other processes."""
        for pid in self._descriptors.keys() - set(pids):
            os.close(self._descriptors.pop(pid))


class Parent:
    """Starts a heartbeat for each processor, and keeps the lists of processes in the header."""

    def __init__(
        self, words: memoryview, processors: list[int], programs: list[str], beat: Beat, *, real_time: bool
    ) -> None:
        self._header = Header(words)
        self._blocks = [Block(words, number, processor) for number, processor in enumerate(processors)]
        self._beat = beat
        self._real_time = real_time
        self._own = OwnProcesses(programs)
        self._states = ProcessFiles("stat")
        self._children: list[int] = []

    def run(self, life_descriptor: int) -> int:
        """Run until the pipe is closed or a heartbeat ends. Returns the exit code."""
        wake, on_exit = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        parents_life = os.pipe()
        signal.set_wakeup_fd(on_exit)
        signal.signal(signal.SIGCHLD, _do_nothing)
        self._refresh()
        self._children = [self._fork(block, parents_life) for block in self._blocks]
        poller = select.poll()
        poller.register(life_descriptor, select.POLLHUP)
        poller.register(wake, select.POLLIN)
        try:
            while True:
                events = dict(poller.poll(REFRESH_SECONDS * 1e3))
                if life_descriptor in events:
                    return 0
                if wake in events:
                    # A child that stands still wakes the parent as well.
                    os.read(wake, MAX_FILE_BYTES)
                    if os.waitpid(-1, os.WNOHANG)[0]:
                        return 1
                else:
                    self._refresh()
        finally:
            for child in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    def _fork(self, block: Block, parents_life: tuple[int, int]) -> int:
        parent = os.getpid()
        child = os.fork()
        if child:
            return child
        try:
            _end_with(parent, *parents_life)
            os.sched_setaffinity(0, {block.processor})
            # Above the packet processes: one of them that does not stop to compute would look like a stall otherwise.
            if not (self._real_time and ask_for_real_time(above_lowest=1)):
                prioritize(real_time=self._real_time)
            gc.collect()
            gc.freeze()
            gc.disable()
            ProcessorBeat(block, self._header, self._beat).run()
        except BaseException:  # noqa: BLE001 a forked process must not return into its parent's code
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _refresh(self) -> None:
        packet_pids = self._header.packet_pids
        self._header.own = self._own.busiest([*packet_pids, os.getppid()])
        self._states.keep(packet_pids)
        self._header.assign({pid: self._reader_of(pid) for pid in packet_pids})

    def _reader_of(self, pid: int) -> int:
        """Return the watched processor on which a packet process ran last, or else the first one."""
        watched = [block.processor for block in self._blocks]
        home = processor_of(None, self._states.descriptor(pid))
        return home if home in watched else watched[0]


def _end_with(parent: int, read_end: int, write_end: int) -> None:
    """Let a signal end this process at the moment at which its parent, the only other writer of a pipe, has ended.

    To ask for the parent at each beat would cost more. Without the signal, a heartbeat that outlives its parent writes
    due times at which it never wakes: that looks like a stall without an end.
    """
    os.close(write_end)
    # Opened anew: the owner who gets the signal is that of an opening, which a fork shares.
    own_end = os.open(f"/proc/self/fd/{read_end}", os.O_RDONLY | os.O_NONBLOCK)
    os.close(read_end)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(own_end, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own_end, fcntl.F_SETFL, fcntl.fcntl(own_end, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(1)


def _do_nothing(_number: int, _frame: object) -> None:
    """Let the signal only wake the parent."""


def run(form: Beat) -> int:
    """Run the parent with heartbeats of this form. Returns the exit code."""
    memory, life, processors, programs, *options = sys.argv[1:]
    watched = [int(processor) for processor in processors.split(",")]
    words = memoryview(mmap.mmap(int(memory), memory_bytes(len(watched)))).cast("q")
    return Parent(words, watched, programs.split(","), form, real_time=REAL_TIME in options).run(int(life))


if __name__ == "__main__":
    sys.exit(run(Beat(beat, PYTHON_PERIOD_NS, PYTHON_CLOCKS_EVERY)))
