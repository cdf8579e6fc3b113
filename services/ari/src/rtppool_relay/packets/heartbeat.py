"""The heartbeat's loop as machine code: `rtppool_core.host.beat_loop`, with the C library's calls of the kernel."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba.extending import overload, register_jitable

from rtppool_core.compiled.system_calls import clock_gettime, clock_nanosleep, fence, pread, signed
from rtppool_core.host import beat_calls, beat_loop, beat_words, own_time
from rtppool_core.host.beat_words import SCRATCH, SCRATCH_WORDS, UNREAD, WORD_BYTES
from rtppool_core.host.kernel_texts import LAST_PROCESSOR
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.packets.compiled import compiled

_TIMER_ABSTIME = 1
_MONOTONIC = int(time.CLOCK_MONOTONIC)
_TEXT_BYTES = SCRATCH_WORDS * WORD_BYTES
_BLANK = ord(" ")
_ZERO = ord("0")
_CLOSING = ord(")")
# Blanks between the name and the processor.
_COLUMN = LAST_PROCESSOR + 1


@compiled
def _scratch(words: Any) -> int:
    return words.ctypes.data + SCRATCH * WORD_BYTES  # type: ignore[no-any-return]


def sleep_until(words: Any, due_ns: int) -> int:
    """Sleep until a time of CLOCK_MONOTONIC."""
    words[SCRATCH], words[SCRATCH + 1] = due_ns // NS_PER_SECOND, due_ns % NS_PER_SECOND
    return clock_nanosleep(_MONOTONIC, _TIMER_ABSTIME, _scratch(words), 0)


def cpu_ns(words: Any, clock_id: int) -> int:
    """Return the time of a clock; `UNREAD` where its process has exited."""
    if clock_gettime(clock_id, _scratch(words)) != 0:
        return UNREAD
    return words[SCRATCH] * NS_PER_SECOND + words[SCRATCH + 1]  # type: ignore[no-any-return]


def now_ns(words: Any) -> int:
    """Return the time."""
    return beat_calls.cpu_ns(words, _MONOTONIC)


def run_delay_ns(words: Any, descriptor: int) -> int:
    """Return the second column of an open /proc/PID/schedstat; `UNREAD` where its process has exited."""
    size = pread(descriptor, _scratch(words), _TEXT_BYTES, 0)
    text = words[SCRATCH : SCRATCH + SCRATCH_WORDS].view(np.uint8)
    delay_ns, column = 0, 0
    for place in range(size):
        if text[place] == _BLANK:
            column += 1
        elif column == 1:
            delay_ns = 10 * delay_ns + signed(text[place]) - _ZERO
    return delay_ns if column > 1 else UNREAD


def processor_of(words: Any, descriptor: int) -> int:
    """Return the field `processor` of an open /proc/PID/stat (proc(5)); `UNREAD` where its process has exited."""
    size = pread(descriptor, _scratch(words), _TEXT_BYTES, 0)
    text = words[SCRATCH : SCRATCH + SCRATCH_WORDS].view(np.uint8)
    # A program's name is in parentheses, and may have blanks and parentheses of its own.
    start = 0
    for place in range(size):
        if text[place] == _CLOSING:
            start = place + 1
    processor, column = 0, 0
    for place in range(start, size):
        if text[place] == _BLANK:
            column += 1
        elif column == _COLUMN:
            processor = 10 * processor + signed(text[place]) - _ZERO
    return processor if column > _COLUMN else UNREAD


def publish(_words: Any) -> int:
    """Let other processes see the words before a count before the count."""
    fence()
    return 0


# Compiled code calls these functions where the source calls those of `beat_calls`.
_overload: Any = overload
for _source, _function in (
    (beat_calls.sleep_until, sleep_until),
    (beat_calls.now_ns, now_ns),
    (beat_calls.cpu_ns, cpu_ns),
    (beat_calls.run_delay_ns, run_delay_ns),
    (beat_calls.processor_of, processor_of),
    (beat_calls.publish, publish),
):
    _overload(_source, strict=False)(lambda *_types, _chosen=_function: _chosen)
for _part in (
    *(beat_words.event_at, beat_words.reading_at, own_time.insert_sorted, own_time.expected_ns, own_time.ran_ns),
    beat_loop.unseen_before_stall_ns,
    *(beat_loop.read_clocks, beat_loop.read_wait, beat_loop.add_event, beat_loop.add_stall, beat_loop.add_wait),
):
    register_jitable(_part)

beat = compiled(beat_loop.beat)
