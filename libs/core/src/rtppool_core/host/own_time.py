"""CPU time of the product's own processes inside a span, from readings of their clocks at a few moments.

A reading at the span's begin does not exist: it begins unexpectedly. The latest reading before it is some milliseconds
old, so the expected share of each process is taken off for the time between. That share is a median: a process that
works in bursts usually does not run. A process that ran until the latest reading is expected to go on.

It is plain Python over the words of a block, and machine code in the relay, as the loop is (`beat_loop`).
"""

from __future__ import annotations

from typing import Any

from rtppool_core.host.beat_calls import processor_of
from rtppool_core.host.beat_words import (
    MAX_OWN,
    MAX_READINGS,
    MAX_SHARES,
    PIDS,
    READING_COUNT,
    SHARES,
    STATES,
    UNREAD,
    reading_at,
)

# A process that ran for less than this part of a span does not explain it.
MIN_PART = 16
# A longer time without a reading is that of a stopped machine.
MAX_UNREAD_NS = 1_000_000_000


def ran_ns(words: Any, start_ns: int, processor: int, besides: int) -> int:
    """Return how long own processes ran on a processor from a time to the latest reading, at most the whole span.

    The process `besides` is left out. So is one that has no reading before the span, or that ran for less than a
    `MIN_PART`th of it.
    """
    last = words[READING_COUNT] - 1
    oldest = max(0, last + 1 - MAX_READINGS)
    before = last - 1
    while before > oldest and words[reading_at(before)] > start_ns:
        before -= 1
    if before < oldest:
        return 0
    at, at_before = reading_at(last), reading_at(before)
    span_ns: int = words[at] - start_ns
    unread_ns = min(max(start_ns - words[at_before], 0), MAX_UNREAD_NS)
    ran: int = 0
    for place in range(MAX_OWN):
        clock, clock_before = words[at + 1 + place], words[at_before + 1 + place]
        used = clock - clock_before
        if UNREAD in (clock, clock_before) or used * MIN_PART <= span_ns or words[PIDS + place] == besides:
            continue
        # Most processes of most spans do not come so far: this file and these readings are the costly part.
        if processor_of(words, words[STATES + place]) != processor:
            continue
        inside = used - expected_ns(words, place, before, oldest, unread_ns)
        if inside * MIN_PART > span_ns:
            ran += inside
    return min(ran, max(span_ns, 0))


def expected_ns(words: Any, place: int, reading: int, oldest: int, unread_ns: int) -> int:
    """Return how long a process is expected to have run in the time after a reading.

    Its share of the processor is that of the interval before, and at least the lower median of the latest intervals.
    """
    first = count = 0
    for later in range(reading, max(oldest, reading - MAX_SHARES), -1):
        at, at_before = reading_at(later), reading_at(later - 1)
        clock, clock_before = words[at + 1 + place], words[at_before + 1 + place]
        lasted = words[at] - words[at_before]
        if UNREAD in (clock, clock_before) or lasted <= 0:
            continue
        expected = min(unread_ns, min(clock - clock_before, lasted) * unread_ns // lasted)
        if count == 0:
            first = expected
        insert_sorted(words, count, expected)
        count += 1
    return max(first, words[SHARES + (count - 1) // 2]) if count else 0


def insert_sorted(words: Any, count: int, value: int) -> int:
    """Insert a value into the sorted list of `count` values at `SHARES`."""
    at = SHARES + count
    while at > SHARES and words[at - 1] > value:
        words[at] = words[at - 1]
        at -= 1
    words[at] = value
    return at
