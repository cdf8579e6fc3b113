"""The running processes of this installation: the product's command lines in /proc, within one network namespace.

Another installation's processes take processors as any neighbour does. Those that meet share a network namespace, as
they send packets to each other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from itertools import pairwise

PROC = "/proc"
# The programs of the product, by their modules.
PROGRAMS = ("rtppool_relay", "rtppool_echo", "rtppool_callgen", "rtppool_operator")
# A heartbeat takes next to nothing, and only the time of others tells it anything.
_HEARTBEAT = ".beat_process"
# A process that used less since the last call explains no stall.
_MIN_USED_NS = 1_000_000
# A process that is young may still replace its program (execve).
_MAX_EXAMINATIONS = 3


def is_own_command(command_line: bytes, programs: Sequence[str] = PROGRAMS) -> bool:
    """Return whether a command line, as /proc/PID/cmdline has it, runs one of these programs."""
    words = command_line.decode(errors="replace").split("\0")
    modules = (module for option, module in pairwise(words) if option == "-m")
    return any(module.startswith(tuple(programs)) and not module.endswith(_HEARTBEAT) for module in modules)


def cpu_clock_of(pid: int) -> int:
    """Return the id of a process's CPU clock, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


class OwnProcesses:
    """Finds the processes of these programs."""

    def __init__(self, programs: Sequence[str] = PROGRAMS, proc: str = PROC) -> None:
        self._programs = programs
        self._proc = proc
        self._namespace = _network_of("self", proc)
        self._examined: dict[int, int] = {}
        self._own: set[int] = set()
        self._clocks: dict[int, int] = {}

    def busiest(self, always: Collection[int]) -> list[int]:
        """Return the processes that used CPU time since the last call, the busiest first.

        The processes in `always` are included, whatever their command lines are.
        """
        running = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}  # noqa: PTH208 names only
        self._examined = {pid: times for pid, times in self._examined.items() if pid in running}
        self._own &= running
        for pid in running - self._own:
            self._examine(pid)
        clocks = {pid: clock for pid in self._own | (running & set(always)) if (clock := cpu_ns(pid)) is not None}
        used = {pid: clock - self._clocks.get(pid, 0) for pid, clock in clocks.items()}
        self._clocks = clocks
        busy = (pid for pid in used if used[pid] >= _MIN_USED_NS or pid in always)
        return sorted(busy, key=lambda pid: -used[pid])

    def _examine(self, pid: int) -> None:
        times = self._examined.get(pid, 0)
        if times >= _MAX_EXAMINATIONS:
            return
        self._examined[pid] = times + 1
        try:
            with open(f"{self._proc}/{pid}/cmdline", "rb") as file:  # noqa: PTH123 a process without pathlib
                command_line = file.read()
        except OSError:
            return
        if is_own_command(command_line, self._programs) and self._is_near(pid):
            self._own.add(pid)

    def _is_near(self, pid: int) -> bool:
        """Return whether a process is in this network namespace, or in an unknown one."""
        return _network_of(str(pid), self._proc) in {self._namespace, None}


def _network_of(name: str, proc: str) -> str | None:
    """Return the network namespace of a process; None where the kernel refuses, as for one with more rights."""
    try:
        return os.readlink(f"{proc}/{name}/ns/net")  # noqa: PTH115 a process without pathlib
    except OSError:
        return None


def cpu_ns(pid: int) -> int | None:
    """Return the CPU time of a process; None where it has exited."""
    try:
        return time.clock_gettime_ns(cpu_clock_of(pid))
    except OSError:
        return None
