"""Host time of the packets of a reflecting process, from the heartbeats of its processors."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Sequence

from rtppool_core.host.beats_memory import memory_bytes
from rtppool_core.host.stall_lookup import StallLookup
from rtppool_echo.reflector.attendant import HostTime


def host_time_of(descriptor: int, processors: Sequence[int]) -> HostTime:
    """Return the host time by the heartbeats of `processors`, which write to the memory of `descriptor`."""
    words = memoryview(mmap.mmap(descriptor, memory_bytes(len(processors)))).cast("q")
    lookup = StallLookup(words, processors, os.getpid())
    # Python before 3.13 lacks it.
    processor: Callable[[], int] = ctypes.CDLL(None).sched_getcpu

    def taken_ns(span_ns: int) -> int | None:
        now_ns = time.monotonic_ns()
        return lookup.taken_ns(processor(), now_ns - span_ns, now_ns)

    return taken_ns


def no_host_time(_span_ns: int) -> int | None:
    """Return None: without heartbeats no host time is known."""
    return None
