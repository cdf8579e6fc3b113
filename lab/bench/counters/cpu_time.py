"""CPU time of processes, from the scheduler's own counters."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def cpu_ns(pids: Iterable[int]) -> int:
    """Time on a CPU of all threads of these processes (`/proc/PID/task/TID/schedstat`, first figure), in ns.

    Delivery over loopback runs in the sender's `send`, so it is the sender's time, for every candidate alike.
    """
    return sum(_of_process(pid) for pid in pids)


def children_of(pid: int) -> list[int]:
    """The processes that this one started; none when it is gone."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> str:
    """How a process was started; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _of_process(pid: int) -> int:
    total = 0
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 names are enough
    except FileNotFoundError:
        return 0
    for thread in threads:
        try:
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended since it was listed
    return total
