"""The loop of a heartbeat: sleep until the next beat is due, and read CPU clocks and run delays now and then.

It is plain Python over the words of a block (`beat_words`). The relay makes machine code of the same source, with other
functions for the calls of the kernel (`beat_calls`). Such code cannot get functions as arguments and be kept on disk.
"""

from __future__ import annotations

import time
from typing import Any

from rtppool_core.host.beat_calls import cpu_ns, now_ns, processor_of, publish, run_delay_ns, sleep_until
from rtppool_core.host.beat_words import (
    BEATS_LEFT,
    CLOCK_IDS,
    CLOCKS_EVERY,
    DELAYS,
    DESCRIPTORS,
    DUE,
    EVENT_COUNT,
    IS_CONTENDED,
    MAX_OWN,
    MIN_STALL_NS,
    PERIOD,
    PROCESSOR,
    READ_AT,
    READING_COUNT,
    STALL,
    TURN,
    UNREAD,
    USUAL,
    WAIT,
    WAIT_COUNT,
    WAITED,
    WAITED_SINCE,
    WAITING_PIDS,
    WAITING_STATES,
    WAITS_EVERY,
    WOKE,
    event_at,
    reading_at,
)
from rtppool_core.host.own_time import ran_ns

# The usual lateness moves by this with each reading of waits, up or down, and so towards the median: by 3 ms in 30 s.
USUAL_STEP_NS = 3_000
# A packet process that waited longer between two readings is read at every beat.
CONTENDED_NS = 500_000
NOBODY = -1
_RAW = int(time.CLOCK_MONOTONIC_RAW)


def beat(words: Any) -> int:
    """Beat until `BEATS_LEFT` is 0, and write each stall and each wait. Return the number of all so far."""
    while words[BEATS_LEFT] > 0:
        due = words[WOKE] + words[PERIOD]
        words[DUE] = due
        sleep_until(words, due)
        woke = now_ns(words)
        words[WOKE] = woke
        words[BEATS_LEFT] -= 1
        left, usual = words[BEATS_LEFT], words[USUAL]
        is_stall = woke - due > usual + MIN_STALL_NS
        if is_stall or words[IS_CONTENDED] or left % words[CLOCKS_EVERY] == 0:
            read_clocks(words)
        if is_stall:
            add_stall(words, due + usual)
        if words[IS_CONTENDED] or left % words[WAITS_EVERY] == 0:
            words[USUAL] = usual + (USUAL_STEP_NS if woke - due > usual else -USUAL_STEP_NS)
            if read_wait(words) > MIN_STALL_NS:
                add_wait(words)
    return words[EVENT_COUNT]  # type: ignore[no-any-return]


def read_clocks(words: Any) -> int:
    """Add a reading of all CPU clocks, and count it when it is complete."""
    count = words[READING_COUNT]
    at = reading_at(count)
    words[at] = words[WOKE]
    for place in range(MAX_OWN):
        clock_id = words[CLOCK_IDS + place]
        words[at + 1 + place] = cpu_ns(words, clock_id) if clock_id else UNREAD
    publish(words)
    words[READING_COUNT] = count + 1
    return 0


def add_stall(words: Any, start_ns: int) -> int:
    """Add the stall that this beat has ended, less the time in which own processes ran on its processor."""
    woke = words[WOKE]
    ran = ran_ns(words, start_ns, words[PROCESSOR], NOBODY)
    # Where own processes ran for most of the time that was seen, they may have run before as well.
    unseen_ns = 0 if 2 * ran > woke - start_ns else unseen_before_stall_ns(words)
    return add_event(words, STALL, words[PROCESSOR], start_ns, woke - ran, unseen_ns)


def unseen_before_stall_ns(words: Any) -> int:
    """Return how long before a stall that is seen the latest beat was."""
    return words[PERIOD] + words[USUAL]  # type: ignore[no-any-return]


def read_wait(words: Any) -> int:
    """Read the run delay of one packet process, and return how long it waited. They take turns."""
    words[IS_CONTENDED] = 0
    if words[WAIT_COUNT] == 0:
        return 0
    turn = (words[TURN] + 1) % words[WAIT_COUNT]
    words[TURN] = turn
    before, delay = words[DELAYS + turn], run_delay_ns(words, words[DESCRIPTORS + turn])
    words[WAITED_SINCE] = words[READ_AT + turn]
    words[DELAYS + turn], words[READ_AT + turn] = delay, words[WOKE]
    if delay < 0 or before < 0:
        return 0
    waited: int = delay - before
    words[WAITED] = waited
    words[IS_CONTENDED] = 1 if waited > CONTENDED_NS else 0
    return waited


def add_wait(words: Any) -> int:
    """Add the wait that was read. The kernel counts it when it ends, between two readings: about in their middle."""
    turn = words[TURN]
    processor = processor_of(words, words[WAITING_STATES + turn])
    if processor == UNREAD:
        return 0
    ended_ns = (words[WAITED_SINCE] + words[WOKE]) // 2
    start_ns = ended_ns - words[WAITED]
    ran = ran_ns(words, start_ns, processor, words[WAITING_PIDS + turn])
    return add_event(words, WAIT, processor, start_ns, ended_ns - ran, 0)


def add_event(words: Any, kind: int, processor: int, start_ns: int, end_ns: int, unseen_ns: int) -> int:
    """Add a stall or a wait, and then count it. Nothing is added where own processes ran all the time."""
    if end_ns <= start_ns:
        return 0
    count = words[EVENT_COUNT]
    at = event_at(count)
    words[at], words[at + 1], words[at + 2], words[at + 3] = kind, processor, start_ns, end_ns
    words[at + 4] = cpu_ns(words, _RAW) - now_ns(words)
    words[at + 5] = unseen_ns
    publish(words)
    words[EVENT_COUNT] = count + 1
    return 1
