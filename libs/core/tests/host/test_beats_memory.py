from __future__ import annotations

import mmap
import os

import pytest

from rtppool_core.host.beat_words import (
    BLOCK_WORDS,
    DUE,
    EVENT_COUNT,
    MAX_EVENTS,
    MAX_OWN,
    MAX_PACKET,
    MAX_READINGS,
    MIN_STALL_NS,
    READING_WORDS,
    READINGS,
    USUAL,
)
from rtppool_core.host.beats_memory import (
    Block,
    EventReader,
    Header,
    Reading,
    TakenTime,
    make_memory,
    memory_bytes,
    stall_in_progress,
)
from rtppool_core.host.stall_lookup import StallLookup
from rtppool_testing.beats import write_event, write_reading

MS = 1_000_000
PROCESSORS = (2, 5)


@pytest.fixture
def words() -> memoryview:
    descriptor = make_memory(len(PROCESSORS))
    memory = mmap.mmap(descriptor, memory_bytes(len(PROCESSORS)))
    os.close(descriptor)
    return memoryview(memory).cast("q")


@pytest.fixture
def block(words: memoryview) -> Block:
    return Block(words, 1, PROCESSORS[1])


def stall(number: int, processor: int = 5) -> TakenTime:
    return TakenTime(processor, number * 10 * MS, number * 10 * MS + 4 * MS, -3, is_wait=False, unseen_ns=2 * MS)


def test_events_are_read_once_as_they_were_written(block: Block) -> None:
    reader = EventReader(block)
    events = [stall(1), TakenTime(2, 5, 6, 7, is_wait=True)]
    for event in events:
        write_event(block, event)
    assert reader.new() == events
    assert reader.new() == []


def test_a_reader_begins_with_the_events_after_it(block: Block) -> None:
    write_event(block, stall(1))
    assert EventReader(block).new() == []


def test_events_that_were_overwritten_unread_are_counted(block: Block) -> None:
    reader = EventReader(block)
    for number in range(MAX_EVENTS + 10):
        write_event(block, stall(number))
    # The oldest place may be the one that is being written.
    assert reader.new() == [stall(number) for number in range(11, MAX_EVENTS + 10)]
    assert reader.overwritten == 11


def test_blocks_of_processors_do_not_overlap(words: memoryview) -> None:
    blocks = [Block(words, at, processor) for at, processor in enumerate(PROCESSORS)]
    for block in blocks:
        for number in range(MAX_EVENTS):
            write_event(block, stall(number, block.processor))
        block.observe(range(1, 1 + MAX_OWN))
        for number in range(MAX_READINGS):
            write_reading(block, number, {pid: 10 * pid for pid in range(1, 1 + MAX_OWN)})
    for block in blocks:
        assert {block.event(number).processor for number in range(MAX_EVENTS)} == {block.processor}
        assert block.words[EVENT_COUNT] == MAX_EVENTS
        assert block.latest_clocks() == {pid: 10 * pid for pid in range(1, 1 + MAX_OWN)}
    assert Header(words).own == []


def test_the_places_of_a_block_fit_into_it() -> None:
    assert READINGS + MAX_READINGS * READING_WORDS <= BLOCK_WORDS


def test_readings_are_returned_from_the_youngest_on_as_far_as_they_are_kept(block: Block) -> None:
    assert list(block.readings()) == []
    block.observe((7,))
    for number in range(MAX_READINGS + 5):
        write_reading(block, number, {7: number})
    assert list(block.readings()) == [Reading(at, {7: at}) for at in range(MAX_READINGS + 4, 4, -1)]


def test_a_process_keeps_its_readings_while_others_come_and_go(block: Block) -> None:
    block.observe((7, 8))
    write_reading(block, 1, {7: 70, 8: 80})
    block.observe((9, 7))
    write_reading(block, 2, {7: 71, 9: 90})
    assert list(block.readings()) == [Reading(2, {7: 71, 9: 90}), Reading(1, {7: 70})]


def test_the_header_holds_both_lists_at_their_full_lengths(words: memoryview) -> None:
    header = Header(words)
    header.packet_pids = list(range(100, 100 + MAX_PACKET + 9))
    header.own = list(range(500, 500 + MAX_OWN + 9))
    assert header.packet_pids == list(range(100, 100 + MAX_PACKET))
    assert header.own == list(range(500, 500 + MAX_OWN))


def test_each_packet_process_is_read_by_the_heartbeat_that_it_is_assigned_to(words: memoryview) -> None:
    header = Header(words)
    header.packet_pids = [10, 11, 12]
    header.assign({10: 2, 11: 5, 12: 5})
    assert (header.assigned_to(2), header.assigned_to(5)) == ([10], [11, 12])


def test_a_beat_that_is_overdue_is_a_stall_in_progress(block: Block) -> None:
    block.words[DUE], block.words[USUAL] = 100 * MS, MS // 2
    begin = 100 * MS + MS // 2
    assert stall_in_progress(block, begin + MIN_STALL_NS) is None
    assert stall_in_progress(block, begin + 3 * MS) == (begin, begin + 3 * MS)


def test_a_heartbeat_that_does_not_run_stalls_nothing(block: Block) -> None:
    assert stall_in_progress(block, 10**15) is None


class TestLookup:
    @pytest.fixture
    def cpu_ns(self) -> list[int]:
        return [0]

    @pytest.fixture
    def lookup(self, words: memoryview, cpu_ns: list[int]) -> StallLookup:
        return StallLookup(words, PROCESSORS, pid=77, own_cpu_ns=lambda: cpu_ns[0])

    def test_a_processor_that_is_not_watched_has_no_answer(self, lookup: StallLookup, block: Block) -> None:
        assert lookup.taken_ns(5, 0, MS) is None
        block.words[DUE] = 10 * MS
        assert lookup.taken_ns(5, 0, MS) == 0
        assert lookup.taken_ns(9, 0, MS) is None

    def test_the_part_of_a_packet_s_time_in_recent_stalls_is_found(self, lookup: StallLookup, block: Block) -> None:
        block.words[DUE] = 1000 * MS
        for number in range(1, 8):
            write_event(block, stall(number))
        assert lookup.taken_ns(5, 52 * MS, 73 * MS) == (2 + 4 + 3) * MS

    def test_a_stall_in_progress_counts_without_the_asking_process_s_own_time(
        self, lookup: StallLookup, block: Block, cpu_ns: list[int]
    ) -> None:
        block.words[DUE] = 100 * MS
        block.observe((12, 77))
        write_reading(block, 99 * MS, {12: MS, 77: 40 * MS})
        cpu_ns[0] = 40 * MS
        assert lookup.taken_ns(5, 90 * MS, 120 * MS) == 20 * MS
        cpu_ns[0] = 45 * MS
        assert lookup.taken_ns(5, 90 * MS, 120 * MS) == 15 * MS
        cpu_ns[0] = 90 * MS
        assert lookup.taken_ns(5, 90 * MS, 120 * MS) == 0

    def test_waits_for_another_processor_do_not_count(self, lookup: StallLookup, block: Block) -> None:
        block.words[DUE] = 1000 * MS
        write_event(block, TakenTime(2, 0, 50 * MS, 0, is_wait=True))
        assert lookup.taken_ns(5, 0, 60 * MS) == 0
