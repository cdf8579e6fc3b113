"""Processes as /proc describes them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

MEDIA_MODULE = "rtppool_relay.packets.process"
EPOLL = "anon_inode:[eventpoll]"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_ns(pids: Iterable[int]) -> int:
    """Return the CPU time of all live threads of these processes, in ns.

    The scheduler counts it (`/proc/PID/task/TID/schedstat`, first figure). Delivery over loopback runs in the sender's
    `send`, so it is the sender's time, for every candidate alike.
    """
    return sum(_cpu_ns(pid) for pid in pids)


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process, ended threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process (RSS)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def private_bytes(pid: int) -> int:
    """Return the memory that the process has written and no other process shares.

    Clean pages are those of program files. They are private while no other process happens to have the file mapped.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:")) * 1024


def children_of(pid: int) -> list[int]:
    """Return the processes that this one started; none when it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> str:
    """Return the command line of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def media_pids(control_pid: int) -> list[int]:
    """Return the media processes of a relay, an idle spare included."""
    return [pid for pid in children_of(control_pid) if MEDIA_MODULE in command_line(pid)]


def has_epoll(pid: int) -> bool:
    """Return whether a process waits for events with epoll; False after its end."""
    try:
        return any(os.readlink(each) == EPOLL for each in Path(f"/proc/{pid}/fd").iterdir())  # noqa: PTH115 no path
    except OSError:
        return False


def _cpu_ns(pid: int) -> int:
    total = 0
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 names are enough
    except FileNotFoundError:
        return 0
    for thread in threads:
        try:
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread ended since it was listed
    return total
