"""The host time that a reflecting process reports, from the memory of its machine's heartbeats."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterator

import pytest

from rtppool_core.host.beat_words import DUE
from rtppool_core.host.beats_memory import Block, TakenTime, make_memory, memory_bytes
from rtppool_echo.reflector.host_time import host_time_of, no_host_time
from rtppool_testing.beats import write_event

MS = 1_000_000
SECOND = 1_000 * MS
OWN = sorted(os.sched_getaffinity(0))
AT = OWN[0]


@contextlib.contextmanager
def memory_of(processors: list[int]) -> Iterator[tuple[int, memoryview]]:
    """Yield the memory of heartbeats as descriptor and words, while this process runs on the first of `OWN`."""
    descriptor = make_memory(len(processors))
    words = memoryview(mmap.mmap(descriptor, memory_bytes(len(processors)))).cast("q")
    os.sched_setaffinity(0, {AT})
    try:
        yield descriptor, words
    finally:
        os.sched_setaffinity(0, OWN)
        os.close(descriptor)


def stall(ends_ago_ns: int, length_ns: int) -> TakenTime:
    end_ns = time.monotonic_ns() - ends_ago_ns
    return TakenTime(AT, end_ns - length_ns, end_ns, 0, is_wait=False)


def test_a_stall_of_the_processor_is_the_host_time_of_a_packet_held_meanwhile() -> None:
    with memory_of([AT]) as (descriptor, words):
        block = Block(words, 0, AT)
        block.words[DUE] = time.monotonic_ns() + 3600 * SECOND
        write_event(block, stall(ends_ago_ns=0, length_ns=20 * MS))
        taken_ns = host_time_of(descriptor, [AT])
        assert taken_ns(3600 * SECOND) == 20 * MS
        assert taken_ns(0) == 0


def test_a_stall_that_ended_before_the_packet_came_is_not_its_host_time() -> None:
    with memory_of([AT]) as (descriptor, words):
        block = Block(words, 0, AT)
        block.words[DUE] = time.monotonic_ns() + 3600 * SECOND
        write_event(block, stall(ends_ago_ns=3600 * SECOND, length_ns=20 * MS))
        assert host_time_of(descriptor, [AT])(SECOND) == 0


def test_a_stall_in_progress_counts_until_now() -> None:
    with memory_of([AT]) as (descriptor, words):
        Block(words, 0, AT).words[DUE] = time.monotonic_ns() - 50 * MS
        taken_ns = host_time_of(descriptor, [AT])(SECOND)
        assert taken_ns is not None
        assert 50 * MS <= taken_ns <= SECOND


def test_the_stall_of_another_processor_is_not_the_packet_s() -> None:
    with memory_of([AT + 1, AT]) as (descriptor, words):
        Block(words, 0, AT + 1).words[DUE] = time.monotonic_ns() - 50 * MS
        Block(words, 1, AT).words[DUE] = time.monotonic_ns() + 3600 * SECOND
        assert host_time_of(descriptor, [AT + 1, AT])(SECOND) == 0


@pytest.mark.parametrize("watched", [AT, AT + 1])
def test_without_a_heartbeat_on_its_processor_the_host_time_is_unknown(watched: int) -> None:
    with memory_of([watched]) as (descriptor, words):
        # One that does not run has no due time; one of another processor says nothing of this one.
        Block(words, 0, watched).words[DUE] = 0 if watched == AT else time.monotonic_ns()
        assert host_time_of(descriptor, [watched])(SECOND) is None


def test_without_heartbeats_the_host_time_is_unknown() -> None:
    assert no_host_time(SECOND) is None
