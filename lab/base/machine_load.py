"""The load of the machine during a run, as evidence whether the product or the machine was slow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Fields of the first line of /proc/stat (proc_stat(5)), after its name.
IDLE, IOWAIT, STEAL, TIMES = 3, 4, 7, 8


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Times since the start: of all processors, in ticks, and of this thread on a processor and waiting for one."""

    total: int
    busy: int
    stolen: int
    ran_ns: int
    waited_ns: int


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """Shares in percent: of all processors in use, and stolen by other machines of the host.

    `waiting_percent` is the part of its busy time in which the program of the run waited for a processor. It stands for
    every process of the run: asleep or not, each had to wait as long.
    """

    busy_percent: int
    stolen_percent: int
    waiting_percent: int

    def __str__(self) -> str:
        """Return the shares for a table."""
        return (
            f"processors {self.busy_percent} % busy, {self.stolen_percent} % stolen, "
            f"{self.waiting_percent} % waiting for one"
        )


def cpu_times(proc: Path = Path("/proc")) -> CpuTimes:
    """Return the times until now."""
    times = [int(each) for each in (proc / "stat").read_text().split("\n", 1)[0].split()[1 : 1 + TIMES]]
    idle = times[IDLE] + times[IOWAIT]
    ran_ns, waited_ns = map(int, (proc / "thread-self/schedstat").read_text().split()[:2])
    return CpuTimes(sum(times), sum(times) - idle - times[STEAL], times[STEAL], ran_ns, waited_ns)


def stolen_percent(before: CpuTimes, now: CpuTimes) -> float:
    """Return the share of all processors' time that other machines of the host took, in percent."""
    return 100 * (now.stolen - before.stolen) / max(1, now.total - before.total)


def load_since(before: CpuTimes, now: CpuTimes) -> MachineLoad:
    """Return the load between two moments."""
    total, ran_ns = max(1, now.total - before.total), now.ran_ns - before.ran_ns
    waited_ns = now.waited_ns - before.waited_ns
    return MachineLoad(
        round(100 * (now.busy - before.busy) / total),
        round(stolen_percent(before, now)),
        round(100 * waited_ns / max(1, ran_ns + waited_ns)),
    )
