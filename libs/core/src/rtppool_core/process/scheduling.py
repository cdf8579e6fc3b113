"""How a process that forwards packets gets the processor soon after it woke.

Where it is permitted, with real-time priority (SCHED_RR, sched(7)): the processor is taken from any ordinary thread at
once. Permission is CAP_SYS_NICE or a limit RLIMIT_RTPRIO of 1 or more. It is the lowest of these priorities, and the
kernel keeps a twentieth of every second for ordinary threads, whatever such a process does.

Elsewhere, in short slices. Linux (EEVDF) lets the thread that runs finish its slice, 3 ms by default, which is a
packet that counts as late, and prefers among those that wait the one whose slice would end first. Since 6.12 a thread
may ask for a shorter slice of its own (sched_setattr(2)); it gets no more of the processor by that, only sooner and in
smaller parts.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

# struct sched_attr of its first version: size, policy, flags, nice, priority, then runtime (the slice of an ordinary
# thread), deadline and period in ns. 0.1 ms is the shortest that the kernel takes.
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
_SCHED_OTHER = 0
REAL_TIME_POLICIES = frozenset({os.SCHED_RR, os.SCHED_FIFO})
_MIN_SLICE_NS = 100_000
_SYSTEM_CALLS = {"x86_64": 314, "aarch64": 274}


def go_before_others(*, real_time: bool) -> None:
    """For the calling thread and what it starts: real-time priority if wanted and permitted, else short slices."""
    if not (real_time and ask_for_real_time()):
        ask_for_short_slices()


def ask_for_real_time() -> bool:
    """For the calling thread and what it starts; False where it is not permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except PermissionError:
        return False
    return True


def is_real_time(pid: int) -> bool:
    """Whether a process has real-time priority; False when it is gone."""
    try:
        return os.sched_getscheduler(pid) in REAL_TIME_POLICIES
    except ProcessLookupError:
        return False


def ask_for_short_slices() -> bool:
    """For the calling thread and what it starts; False where the kernel refuses. Before Linux 6.12 it has no effect."""
    number = _SYSTEM_CALLS.get(platform.machine())
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, _SCHED_OTHER, 0, nice, 0, _MIN_SLICE_NS, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0)
