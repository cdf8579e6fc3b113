"""The heartbeat: one small process for each watched processor, forked from one parent.

A heartbeat sleeps until its next beat is due. When it wakes late, something else had its processor: the hypervisor, a
process that the kernel did not preempt, or a CPU limit. It has the scheduling of the packet processes, so they waited
as well. A process of its own for each processor keeps a stopped processor from holding the others' interpreter.

Started as `python -m rtppool_core.host.beat_process PLAN`, with a plan as JSON. It inherits the descriptors of the
memory and of a pipe, and exits when the other end of the pipe is closed. Its modules and the lines of a beat are few:
the caches of a processor have forgotten them at each beat, so every line costs some 10 times what a loop measures.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import mmap
import os
import select
import signal
import sys
import time
from array import array
from collections.abc import Collection
from typing import NoReturn

from rtppool_core.host.beats_memory import DUE, MIN_STALL_NS, USUAL, Block, Header, TakenTime, memory_bytes
from rtppool_core.host.kernel_texts import last_processor, run_delay_ns
from rtppool_core.host.own_processes import OwnProcesses, cpu_clock_of
from rtppool_core.host.own_time import ClockHistory, Reading
from rtppool_core.process.scheduling import prioritize

PERIOD_NS = 4_000_000
PERIOD_SECONDS = PERIOD_NS * 1e-9
# The usual lateness moves by this with each reading of waits, up or down, and so towards the median: by 3 ms in 30 s.
USUAL_STEP_NS = 2_400
REFRESH_SECONDS = 1.0
# Intervals in beats.
WAITS_EVERY = 6
CLOCKS_EVERY = 3
PROCESSES_EVERY = 132
MAX_FILE_BYTES = 1024
# A packet process that waited longer between two readings is read at every beat.
CONTENDED_NS = 200_000


class ProcessorBeat:
    """One processor's heartbeat."""

    def __init__(self, block: Block, header: Header) -> None:
        self._block = block
        self._header = header
        self._history = ClockHistory()
        self._own: tuple[int, ...] = ()
        self._clock_ids: tuple[int, ...] = ()
        self._waiting: list[int] = []
        self._turn = 0
        self._is_contended = False
        # When each run delay was read last, and its value then.
        self._delays: dict[int, tuple[int, int]] = {}
        self._schedstats = ProcessFiles("schedstat")
        self._stats = ProcessFiles("stat")

    def run(self) -> NoReturn:
        """Beat until a signal ends the process."""
        words, monotonic_ns, sleep = self._block.words, time.monotonic_ns, time.sleep
        usual_ns, max_late_ns = 0, MIN_STALL_NS
        beats = late_ns = 0
        woke = monotonic_ns()
        while True:
            words[USUAL] = usual_ns
            self._refresh()
            self._history.add(self._read_clocks(woke))
            until = beats + PROCESSES_EVERY
            while beats < until:
                for _ in range(1 if self._is_contended else CLOCKS_EVERY):
                    due = woke + PERIOD_NS
                    words[DUE] = due
                    sleep(PERIOD_SECONDS)
                    woke = monotonic_ns()
                    late_ns = woke - due
                    if late_ns > max_late_ns:
                        self._on_stall(due + usual_ns, woke)
                beats += CLOCKS_EVERY
                self._history.add(self._read_clocks(woke))
                if self._is_contended or not beats % WAITS_EVERY:
                    usual_ns += USUAL_STEP_NS if late_ns > usual_ns else -USUAL_STEP_NS
                    max_late_ns = usual_ns + MIN_STALL_NS
                    self._read_waits(woke)

    def _refresh(self) -> None:
        """Read which processes to observe."""
        self._own = tuple(self._header.own)
        self._clock_ids = tuple(map(cpu_clock_of, self._own))
        self._block.begin_clocks(self._own)
        self._waiting = self._header.assigned_to(self._block.processor)
        self._delays = {pid: delay for pid, delay in self._delays.items() if pid in self._waiting}
        self._schedstats.keep(self._waiting)
        self._stats.keep({*self._own, *self._waiting})

    def _on_stall(self, start_ns: int, woke_ns: int) -> None:
        end = self._read_clocks(woke_ns)
        here_ns = self._ran_here(start_ns, end, self._block.processor)
        self._add(TakenTime(self._block.processor, start_ns, woke_ns - here_ns, _raw_offset_ns(), is_wait=False))
        self._history.add(end)

    def _read_waits(self, now_ns: int) -> None:
        """Read the run delay of one packet process; those of a processor take turns."""
        if not self._waiting:
            return
        self._turn = (self._turn + 1) % len(self._waiting)
        pid = self._waiting[self._turn]
        text = self._schedstats.read(pid)
        delay_ns = None if text is None else run_delay_ns(text)
        if delay_ns is None:
            return
        read_before_ns, delay_before_ns = self._delays.get(pid, (now_ns, delay_ns))
        self._delays[pid] = now_ns, delay_ns
        waited_ns = delay_ns - delay_before_ns
        self._is_contended = waited_ns > CONTENDED_NS
        if waited_ns > MIN_STALL_NS:
            self._on_wait(pid, waited_ns, (read_before_ns + now_ns) // 2, now_ns)

    def _on_wait(self, pid: int, waited_ns: int, ended_ns: int, now_ns: int) -> None:
        """Add a wait. The kernel counts it when it ends, between two readings: about in their middle."""
        processor = _processor_of(self._stats, pid)
        if processor is None:
            return
        start_ns = ended_ns - waited_ns
        here_ns = self._ran_here(start_ns, self._read_clocks(now_ns), processor, besides=pid)
        self._add(TakenTime(processor, start_ns, ended_ns - here_ns, _raw_offset_ns(), is_wait=True))

    def _add(self, taken: TakenTime) -> None:
        if taken.end_ns > taken.start_ns:
            self._block.write_event(taken)

    def _ran_here(self, start_ns: int, end: Reading, processor: int, besides: int | None = None) -> int:
        """Return how long own processes ran on a processor from `start_ns` on, `besides` left out."""
        return self._history.ran_ns(
            start_ns, end, lambda pid: pid != besides and _processor_of(self._stats, pid) == processor
        )

    def _read_clocks(self, now_ns: int) -> Reading:
        try:
            clocks = array("q", map(time.clock_gettime_ns, self._clock_ids))
        except OSError:
            # A process has exited. The next refresh finds the others.
            self._own = self._clock_ids = ()
            clocks = array("q")
            self._block.begin_clocks(())
        self._block.write_clocks(now_ns, clocks)
        return Reading(now_ns, self._own, clocks)


class ProcessFiles:
    """Open files of /proc by process: reading one again costs less than opening it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._descriptors: dict[int, int] = {}

    def read(self, pid: int) -> str | None:
        """Return a process's file; None where it has exited."""
        try:
            if pid not in self._descriptors:
                self._descriptors[pid] = os.open(f"/proc/{pid}/{self._name}", os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._descriptors[pid], MAX_FILE_BYTES, 0).decode("latin-1")
        except OSError:
            return None

    def keep(self, pids: Collection[int]) -> None:
        """Close the files of all other processes."""
        for pid in self._descriptors.keys() - set(pids):
            os.close(self._descriptors.pop(pid))


class Parent:
    """Starts a heartbeat for each processor, and keeps the lists of processes in the header."""

    def __init__(self, words: memoryview, processors: list[int], programs: list[str], *, real_time: bool) -> None:
        self._header = Header(words)
        self._blocks = [Block(words, at, processor) for at, processor in enumerate(processors)]
        self._real_time = real_time
        self._own = OwnProcesses(programs)
        self._stats = ProcessFiles("stat")
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
            prioritize(real_time=self._real_time)
            gc.collect()
            gc.freeze()
            gc.disable()
            ProcessorBeat(block, self._header).run()
        except BaseException:  # noqa: BLE001 a forked process must not return into its parent's code
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _refresh(self) -> None:
        packet_pids = self._header.packet_pids
        self._header.own = self._own.busiest([*packet_pids, os.getppid()])
        self._stats.keep(packet_pids)
        self._header.assign({pid: self._reader_of(pid) for pid in packet_pids})

    def _reader_of(self, pid: int) -> int:
        """Return the watched processor on which a packet process ran last, or else the first one."""
        watched = [block.processor for block in self._blocks]
        home = _processor_of(self._stats, pid)
        return watched[0] if home is None or home not in watched else home


def _processor_of(stats: ProcessFiles, pid: int) -> int | None:
    """Return the processor on which a process ran last; None where it has exited."""
    text = stats.read(pid)
    return None if text is None else last_processor(text)


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


def _raw_offset_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - time.monotonic_ns()


def _do_nothing(_number: int, _frame: object) -> None:
    """Let the signal only wake the parent."""


def main() -> int:
    """Run the parent. Returns the exit code."""
    plan = json.loads(sys.argv[1])
    processors = [int(processor) for processor in plan["processors"]]
    words = memoryview(mmap.mmap(plan["memory"], memory_bytes(len(processors)))).cast("q")
    return Parent(words, processors, plan["programs"], real_time=plan["real_time"]).run(plan["life"])


if __name__ == "__main__":
    sys.exit(main())
