"""The calls of the kernel by the loop of a heartbeat, in Python. Each gets the words of the block.

Machine code has functions of its own for them, which write into the block's scratch.
"""

from __future__ import annotations

import os
import time
from typing import Any

from rtppool_core.host import kernel_texts
from rtppool_core.host.beat_words import UNREAD

MAX_FILE_BYTES = 1024


def sleep_until(_words: Any, due_ns: int) -> int:
    """Sleep until a time of CLOCK_MONOTONIC."""
    time.sleep(max(0, due_ns - time.monotonic_ns()) * 1e-9)
    return 0


def now_ns(_words: Any) -> int:
    """Return the time."""
    return time.monotonic_ns()


def cpu_ns(_words: Any, clock_id: int) -> int:
    """Return the time of a CPU clock; `UNREAD` where its process has exited."""
    try:
        return time.clock_gettime_ns(clock_id)
    except OSError:
        return UNREAD


def run_delay_ns(_words: Any, descriptor: int) -> int:
    """Return the run delay in an open /proc/PID/schedstat; `UNREAD` where its process has exited."""
    text = text_of(descriptor)
    delay_ns = None if text is None else kernel_texts.run_delay_ns(text)
    return UNREAD if delay_ns is None else delay_ns


def processor_of(_words: Any, descriptor: int) -> int:
    """Return the processor on which the process of an open /proc/PID/stat ran last; `UNREAD` where it has exited."""
    text = text_of(descriptor)
    processor = None if text is None else kernel_texts.last_processor(text)
    return UNREAD if processor is None else processor


def publish(_words: Any) -> int:
    """Let other processes see the words before a count before the count. Python's writes are in order."""
    return 0


def text_of(descriptor: int) -> str | None:
    """Return an open file of /proc from its begin; None where its process has exited."""
    try:
        return os.pread(descriptor, MAX_FILE_BYTES, 0).decode("latin-1")
    except OSError:
        return None
