"""Scheduling of a process that forwards packets, so that it runs soon after it wakes.

Real-time priority (SCHED_RR, sched(7)) takes the processor from any ordinary thread at once. It needs CAP_SYS_NICE or
a limit RLIMIT_RTPRIO of 1 or more. A packet process gets the lowest real-time priority, and the kernel reserves a
twentieth of every second for ordinary threads.

Without permission, the process asks for short slices. Linux (EEVDF) lets the running thread finish its slice, 3 ms by
default, which makes a packet late. Among waiting threads it prefers the one whose slice would end first. Since 6.12 a
thread may ask for a slice of its own (sched_setattr(2)). With a short one it gets the same share of the processor,
sooner and in smaller parts. With a long one it gives way: a thread that wakes takes the processor from it at once.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

# The first version of struct sched_attr: size, policy, flags, nice, priority, then runtime (the slice of an ordinary
# thread), deadline and period in ns. The kernel limits slices to these.
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
_SCHED_OTHER = 0
REAL_TIME_POLICIES = frozenset({os.SCHED_RR, os.SCHED_FIFO})
_MIN_SLICE_NS, _MAX_SLICE_NS = 100_000, 100_000_000
_SYSTEM_CALLS = {"x86_64": 314, "aarch64": 274}


def prioritize(*, real_time: bool) -> None:
    """Give the calling thread and its children real-time priority if wanted and permitted, else short slices."""
    if not (real_time and ask_for_real_time()):
        ask_for_short_slices()


def ask_for_real_time(above_lowest: int = 0) -> bool:
    """Ask for real-time priority of the calling thread and its children. Returns False where the kernel refuses.

    `above_lowest` is how much higher the priority is than the lowest one, which packet processes have.
    """
    priority = os.sched_get_priority_min(os.SCHED_RR) + above_lowest
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except OSError:
        return False
    return True


def is_real_time(pid: int) -> bool:
    """Return whether a process has real-time priority; False when it has exited or can't be examined."""
    try:
        return os.sched_getscheduler(pid) in REAL_TIME_POLICIES
    except OSError:
        return False


def ask_for_short_slices() -> bool:
    """Ask for short slices of the calling thread and its children. Returns False where the kernel refuses.

    Before Linux 6.12 the request has no effect.
    """
    return _ask_for_slices(_MIN_SLICE_NS)


def ask_for_long_slices() -> bool:
    """As `ask_for_short_slices`, for a thread that computes for longer and is to give way to all others."""
    return _ask_for_slices(_MAX_SLICE_NS)


def _ask_for_slices(slice_ns: int) -> bool:
    number = _SYSTEM_CALLS.get(platform.machine())
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, _SCHED_OTHER, 0, nice, 0, slice_ns, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0)
