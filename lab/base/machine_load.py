"""The use of the processors during a run: by the run itself, by other programs, and by other machines of the host.

A recovery that is too slow while other programs have most of the processors is no evidence against the product.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

# Fields of the first line of /proc/stat (proc_stat(5)), after its name.
IDLE, IOWAIT, STEAL, TIMES = 3, 4, 7, 8
# Fields of /proc/PID/stat after the name in parentheses: parent, and utime, stime, cutime and cstime.
PARENT, CPU_TIMES = 1, slice(11, 15)


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Ticks since the start of the machine: all, those in use, the stolen ones, and those of the run itself."""

    total: int
    busy: int
    stolen: int
    own: int


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """Shares of all processors in percent: in use, of that by other programs, and stolen by other machines."""

    busy_percent: int
    others_percent: int
    stolen_percent: int

    def __str__(self) -> str:
        """Return the shares for a table."""
        return f"processors {self.busy_percent} % busy ({self.others_percent} % others), {self.stolen_percent} % stolen"


def cpu_times(pid: int | None = None, proc: Path = Path("/proc")) -> CpuTimes:
    """Return the times of the machine, and of this process (or `pid`) with all its descendants, ended ones included."""
    times = [int(each) for each in (proc / "stat").read_text().split("\n", 1)[0].split()[1 : 1 + TIMES]]
    idle = times[IDLE] + times[IOWAIT]
    own = _own_ticks(os.getpid() if pid is None else pid, proc)
    return CpuTimes(sum(times), sum(times) - idle - times[STEAL], times[STEAL], own)


def load_since(before: CpuTimes, now: CpuTimes) -> MachineLoad:
    """Return the load between two moments."""
    total = max(1, now.total - before.total)
    busy, own = now.busy - before.busy, now.own - before.own
    return MachineLoad(
        round(100 * busy / total),
        round(100 * max(0, busy - own) / total),
        round(100 * (now.stolen - before.stolen) / total),
    )


def _own_ticks(pid: int, proc: Path) -> int:
    """Return the ticks of a process and its descendants. Those of an ended process are in its parent's."""
    ticks, children = dict[int, int](), defaultdict[int, list[int]](list)
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            ticks[int(folder.name)] = sum(map(int, fields[CPU_TIMES]))
            children[int(fields[PARENT])].append(int(folder.name))
    own, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        own += ticks.get(each, 0)
        waiting += children[each]
    return own
