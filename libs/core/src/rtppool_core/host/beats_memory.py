"""The memory that heartbeats write and others read: a header, and one block for each watched processor.

A block holds the next beat's due time, and rings of events and readings that are closed by counts. While a heartbeat
does not run, its due time is 0. All times are of CLOCK_MONOTONIC, in ns.

The header lists the packet processes, each with the processor whose heartbeat reads its waits, and the busiest
processes of the product.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from rtppool_core.host.beat_words import (
    BLOCK_WORDS,
    CLOCK_IDS,
    DELAYS,
    DESCRIPTORS,
    DUE,
    EVENT_COUNT,
    EVENT_WORDS,
    HEADER_WORDS,
    MAX_EVENTS,
    MAX_OWN,
    MAX_PACKET,
    MAX_READINGS,
    MIN_STALL_NS,
    OWN_COUNT,
    OWN_PIDS,
    PACKET_COUNT,
    PACKET_PIDS,
    PIDS,
    READERS,
    READING_COUNT,
    STATES,
    UNREAD,
    USUAL,
    WAIT,
    WAIT_COUNT,
    WAITING_PIDS,
    WAITING_STATES,
    WORD_BYTES,
    event_at,
    reading_at,
)
from rtppool_core.host.own_processes import cpu_clock_of

MEMORY_NAME = "rtppool-heartbeats"


class Reading(NamedTuple):
    """CPU clocks of processes at one moment, in ns."""

    at_ns: int
    clocks: Mapping[int, int]


class TakenTime(NamedTuple):
    """Time that was taken from a processor: a stall of it, or a wait of a packet process for it.

    `raw_offset_ns` is CLOCK_MONOTONIC_RAW less CLOCK_MONOTONIC at the end. A stall was seen from `start_ns` on, and may
    have begun up to `unseen_ns` before, after the beat before.
    """

    processor: int
    start_ns: int
    end_ns: int
    raw_offset_ns: int
    is_wait: bool
    unseen_ns: int = 0


def memory_bytes(processors: int) -> int:
    """Return the size of the memory for so many processors."""
    return (HEADER_WORDS + processors * BLOCK_WORDS) * WORD_BYTES


def make_memory(processors: int) -> int:
    """Return the descriptor of an empty memory (memfd)."""
    descriptor = os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC)
    os.ftruncate(descriptor, memory_bytes(processors))
    return descriptor


class WaitingProcess(NamedTuple):
    """A packet process whose waits are read: its id, and its open files of state and run delay, or `UNREAD`."""

    pid: int
    state: int
    run_delay: int


class Header:
    """The processes that heartbeats observe."""

    def __init__(self, words: memoryview) -> None:
        self._words = words[:HEADER_WORDS]

    @property
    def own(self) -> list[int]:
        """The busiest processes of the product."""
        return self._list(OWN_COUNT, OWN_PIDS)

    @own.setter
    def own(self, pids: Sequence[int]) -> None:
        self._write(OWN_COUNT, OWN_PIDS, pids[:MAX_OWN])

    @property
    def packet_pids(self) -> list[int]:
        """The packet processes."""
        return self._list(PACKET_COUNT, PACKET_PIDS)

    @packet_pids.setter
    def packet_pids(self, pids: Sequence[int]) -> None:
        self._write(PACKET_COUNT, PACKET_PIDS, pids[:MAX_PACKET])

    def assign(self, readers: Mapping[int, int]) -> None:
        """Give each packet process to the heartbeat of a processor."""
        for at, pid in enumerate(self.packet_pids):
            self._words[READERS + at] = readers.get(pid, -1)

    def assigned_to(self, processor: int) -> list[int]:
        """Return the packet processes whose waits this processor's heartbeat reads."""
        return [pid for at, pid in enumerate(self.packet_pids) if self._words[READERS + at] == processor]

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

    def event(self, number: int) -> TakenTime:
        """Return an event by its number since the memory was made."""
        (event,) = self.events(number, number + 1)
        return event

    def events(self, first: int, end: int) -> list[TakenTime]:
        """Return the events from a number up to, not including, another. A busy machine has hundreds a second."""
        events: list[TakenTime] = []
        while first < end:
            # Up to the ring's end.
            count = min(end - first, MAX_EVENTS - first % MAX_EVENTS)
            at = event_at(first)
            numbers = iter(self.words[at : at + count * EVENT_WORDS].tolist())
            for kind, processor, start, ended, offset, unseen in zip(*[numbers] * EVENT_WORDS, strict=True):
                events.append(TakenTime(processor, start, ended, offset, kind == WAIT, unseen))
            first += count
        return events

    def observe(self, pids: Sequence[int], states: Mapping[int, int] = MappingProxyType({})) -> None:
        """Have the CPU clocks of these processes read from now on. A process keeps its place.

        `states` are their open files of the kernel's state, `UNREAD` for none.
        """
        places = self.words[PIDS : PIDS + MAX_OWN].tolist()
        for place in range(MAX_OWN):
            if places[place] and places[place] not in pids:
                places[place] = self._give(place, 0)
        for pid in pids:
            if pid not in places and 0 in places:
                place = places.index(0)
                places[place] = self._give(place, pid)
        for place, pid in enumerate(places):
            self.words[STATES + place] = states.get(pid, UNREAD)

    def _give(self, place: int, pid: int) -> int:
        """Give a place to a process, or to none (0), and forget the readings of the process before."""
        words = self.words
        words[PIDS + place] = words[CLOCK_IDS + place] = 0
        for number in range(MAX_READINGS):
            words[reading_at(number) + 1 + place] = UNREAD
        if pid:
            words[PIDS + place], words[CLOCK_IDS + place] = pid, cpu_clock_of(pid)
        return pid

    def read_waits_of(self, waiting: Sequence[WaitingProcess]) -> None:
        """Have the run delays of these processes read from now on."""
        words = self.words
        words[WAIT_COUNT] = 0
        for place, process in enumerate(waiting):
            words[WAITING_PIDS + place], words[WAITING_STATES + place] = process.pid, process.state
            words[DESCRIPTORS + place], words[DELAYS + place] = process.run_delay, UNREAD
        words[WAIT_COUNT] = len(waiting)

    def readings(self) -> Iterator[Reading]:
        """Yield the readings of CPU clocks, the youngest first."""
        words = self.words
        count = words[READING_COUNT]
        pids = words[PIDS : PIDS + MAX_OWN].tolist()
        clocks_of = [(place, pid) for place, pid in enumerate(pids, 1) if pid]
        for number in range(count - 1, max(-1, count - 1 - MAX_READINGS), -1):
            at = reading_at(number)
            clocks = {pid: clock for place, pid in clocks_of if (clock := words[at + place]) != UNREAD}
            yield Reading(words[at], clocks)

    def latest_clocks(self) -> Mapping[int, int]:
        """Return the CPU times of the product's processes as they were last read."""
        return next((reading.clocks for reading in self.readings()), {})

    def clear(self) -> None:
        """Forget a heartbeat that has ended: its processor is not watched."""
        self.words[DUE] = 0


class EventReader:
    """Reads the events of one block that are new since the last call."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._next = block.words[EVENT_COUNT]
        self.overwritten = 0

    def new(self) -> list[TakenTime]:
        """Return the new events, oldest first. Events that were overwritten unread are counted in `overwritten`."""
        block, first = self._block, self._next
        self._next = count = block.words[EVENT_COUNT]
        start = max(first, count - MAX_EVENTS)
        events = block.events(start, count)
        # The heartbeat may have written meanwhile, and may be writing the next one.
        oldest = block.words[EVENT_COUNT] - MAX_EVENTS + 1
        kept = events[max(0, oldest - start) :]
        self.overwritten += count - first - len(kept)
        return kept


def stall_in_progress(block: Block, now_ns: int) -> tuple[int, int] | None:
    """Return the stall that has lasted until now; None while the beats come, and where none is expected."""
    due = block.words[DUE]
    start = due + block.words[USUAL]
    return (start, now_ns) if due and now_ns - start > MIN_STALL_NS else None
