"""The memory that heartbeats write and others read: a header, and one block for each watched processor.

A block holds the next beat's due time and a ring of stalls and waits, closed by a count that is written last. While a
heartbeat does not run, its due time is 0. All times are of CLOCK_MONOTONIC, in ns.

The header lists the packet processes, each with the processor whose heartbeat reads its waits, and the busiest
processes of the product.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtppool_core.host.own_time import Reading

# Shorter lateness is usual for a process that sleeps.
MIN_STALL_NS = 1_000_000

WORD_BYTES = 8
MEMORY_NAME = "rtppool-heartbeats"

# The header.
MAX_OWN = 8
MAX_PACKET = 64
_OWN_COUNT = 0
_OWN_PIDS = 1
_PACKET_COUNT = _OWN_PIDS + MAX_OWN
_PACKET_PIDS = _PACKET_COUNT + 1
_READERS = _PACKET_PIDS + MAX_PACKET
HEADER_WORDS = 512

# A block. The clocks are CPU times of processes at `CLOCKS_AT`.
DUE = 0
USUAL = 1
EVENT_COUNT = 2
CLOCKS_AT = 3
CLOCK_COUNT = 4
PIDS = 5
CLOCKS = PIDS + MAX_OWN
_EVENTS = 32
# Three seconds of a heartbeat that is late at every beat.
MAX_EVENTS = 1024
EVENT_WORDS = 5
BLOCK_WORDS = 8192

_STALL = 0
_WAIT = 1


@dataclass(frozen=True, slots=True)
class TakenTime:
    """Time that was taken from a processor: a stall of it, or a wait of a packet process for it.

    `raw_offset_ns` is CLOCK_MONOTONIC_RAW less CLOCK_MONOTONIC at the end.
    """

    processor: int
    start_ns: int
    end_ns: int
    raw_offset_ns: int
    is_wait: bool


def memory_bytes(processors: int) -> int:
    """Return the size of the memory for so many processors."""
    return (HEADER_WORDS + processors * BLOCK_WORDS) * WORD_BYTES


def make_memory(processors: int) -> int:
    """Return the descriptor of an empty memory (memfd)."""
    descriptor = os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC)
    os.ftruncate(descriptor, memory_bytes(processors))
    return descriptor


class Header:
    """The processes that heartbeats observe."""

    def __init__(self, words: memoryview) -> None:
        self._words = words[:HEADER_WORDS]

    @property
    def own(self) -> list[int]:
        """The busiest processes of the product."""
        return self._list(_OWN_COUNT, _OWN_PIDS)

    @own.setter
    def own(self, pids: Sequence[int]) -> None:
        self._write(_OWN_COUNT, _OWN_PIDS, pids[:MAX_OWN])

    @property
    def packet_pids(self) -> list[int]:
        """The packet processes."""
        return self._list(_PACKET_COUNT, _PACKET_PIDS)

    @packet_pids.setter
    def packet_pids(self, pids: Sequence[int]) -> None:
        self._write(_PACKET_COUNT, _PACKET_PIDS, pids[:MAX_PACKET])

    def assign(self, readers: Mapping[int, int]) -> None:
        """Give each packet process to the heartbeat of a processor."""
        for at, pid in enumerate(self.packet_pids):
            self._words[_READERS + at] = readers.get(pid, -1)

    def assigned_to(self, processor: int) -> list[int]:
        """Return the packet processes whose waits this processor's heartbeat reads."""
        return [pid for at, pid in enumerate(self.packet_pids) if self._words[_READERS + at] == processor]

    def _list(self, count: int, first: int) -> list[int]:
        return self._words[first : first + self._words[count]].tolist()

    def _write(self, count: int, first: int, values: Sequence[int]) -> None:
        for at, value in enumerate(values):
            self._words[first + at] = value
        self._words[count] = len(values)


class Block:
    """One processor's words. Its heartbeat is the only writer while it runs."""

    def __init__(self, words: memoryview, at: int, processor: int) -> None:
        start = HEADER_WORDS + at * BLOCK_WORDS
        self.words = words[start : start + BLOCK_WORDS]
        self.processor = processor

    def write_event(self, taken: TakenTime) -> None:
        """Add an event, and then count it."""
        count = self.words[EVENT_COUNT]
        at = _EVENTS + count % MAX_EVENTS * EVENT_WORDS
        kind = _WAIT if taken.is_wait else _STALL
        for place, value in enumerate((kind, taken.processor, taken.start_ns, taken.end_ns, taken.raw_offset_ns), at):
            self.words[place] = value
        self.words[EVENT_COUNT] = count + 1

    def event(self, number: int) -> TakenTime:
        """Return an event by its number since the memory was made."""
        at = _EVENTS + number % MAX_EVENTS * EVENT_WORDS
        kind, processor, start, end, offset = self.words[at : at + EVENT_WORDS].tolist()
        return TakenTime(processor, start, end, offset, is_wait=kind == _WAIT)

    def begin_clocks(self, pids: Sequence[int]) -> None:
        """Say whose CPU times the next clocks are. Until then there are none."""
        words = self.words
        words[CLOCK_COUNT] = 0
        words[PIDS : PIDS + len(pids)] = array("q", pids)

    def write_clocks(self, at_ns: int, clocks: array[int]) -> None:
        """Publish CPU times of these processes, for those who look at a stall in progress."""
        words = self.words
        words[CLOCKS_AT] = at_ns
        count = len(clocks)
        words[CLOCKS : CLOCKS + count] = clocks
        words[CLOCK_COUNT] = count

    def clocks(self) -> Reading:
        """Return the published CPU times."""
        words = self.words
        count = words[CLOCK_COUNT]
        pids, clocks = words[PIDS : PIDS + count].tolist(), words[CLOCKS : CLOCKS + count].tolist()
        return Reading(words[CLOCKS_AT], tuple(pids), tuple(clocks))

    def clear(self) -> None:
        """Forget a heartbeat that has ended: its processor is not watched."""
        self.words[DUE] = 0


class EventReader:
    """Reads the events of one block that are new since the last call."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._next = block.words[EVENT_COUNT]
        self.overrun = 0

    def new(self) -> list[TakenTime]:
        """Return the new events, oldest first. Events that were overwritten unread are counted in `overrun`."""
        block, first = self._block, self._next
        self._next = count = block.words[EVENT_COUNT]
        events = {number: block.event(number) for number in range(max(first, count - MAX_EVENTS), count)}
        # The heartbeat may have written meanwhile, and may be writing the next one.
        oldest = block.words[EVENT_COUNT] - MAX_EVENTS + 1
        kept = [event for number, event in events.items() if number >= oldest]
        self.overrun += count - first - len(kept)
        return kept


def stall_in_progress(block: Block, now_ns: int) -> tuple[int, int] | None:
    """Return the stall that has lasted until now; None while the beats come, and where none is expected."""
    due = block.words[DUE]
    start = due + block.words[USUAL]
    return (start, now_ns) if due and now_ns - start > MIN_STALL_NS else None
