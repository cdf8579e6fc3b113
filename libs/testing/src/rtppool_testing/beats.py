"""Events and readings in the memory of a heartbeat, written as its loop writes them."""

from __future__ import annotations

from collections.abc import Mapping

from rtppool_core.host.beat_words import (
    EVENT_COUNT,
    MAX_OWN,
    PIDS,
    READING_COUNT,
    STALL,
    UNREAD,
    WAIT,
    event_at,
    reading_at,
)
from rtppool_core.host.beats_memory import Block, TakenTime


def write_event(block: Block, taken: TakenTime) -> None:
    """Add a stall or a wait, and then count it."""
    count = block.words[EVENT_COUNT]
    at = event_at(count)
    kind = WAIT if taken.is_wait else STALL
    times = taken.start_ns, taken.end_ns, taken.raw_offset_ns, taken.unseen_ns
    for place, value in enumerate((kind, taken.processor, *times), at):
        block.words[place] = value
    block.words[EVENT_COUNT] = count + 1


def write_reading(block: Block, at_ns: int, clocks: Mapping[int, int]) -> None:
    """Add a reading of the CPU clocks of the block's processes."""
    words, count = block.words, block.words[READING_COUNT]
    at = reading_at(count)
    words[at] = at_ns
    for place in range(MAX_OWN):
        words[at + 1 + place] = clocks.get(words[PIDS + place], UNREAD)
    words[READING_COUNT] = count + 1
