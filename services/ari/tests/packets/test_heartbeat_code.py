"""The loop of a heartbeat as machine code: the source of core over the kernel's own clocks, files and sleep."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtppool_core.host import beat_words as at
from rtppool_core.host import kernel_texts, own_time
from rtppool_core.host.beats_memory import Block, EventReader, WaitingProcess, memory_bytes
from rtppool_core.host.heartbeat import Heartbeat, watched_processors
from rtppool_core.host.intervals import overlap_ns, united
from rtppool_relay.media.launch import HEARTBEAT
from rtppool_relay.packets import heartbeat as code
from rtppool_relay.packets.beat_process import PERIOD_NS, loop
from rtppool_relay.packets.compiled import compiled
from rtppool_testing.beats import write_reading
from rtppool_testing.waiting import until

MS = 1_000_000
read_run_delay: Any = compiled(code.run_delay_ns)
read_processor: Any = compiled(code.processor_of)
own_time_code: Any = compiled(own_time.ran_ns)


@pytest.fixture
def block() -> Block:
    block = Block(memoryview(bytearray(memory_bytes(1))).cast("q"), 0, 0)
    words = block.words
    words[at.PERIOD], words[at.CLOCKS_EVERY], words[at.WAITS_EVERY], words[at.BEATS_LEFT] = MS, 1, 1, 5
    words[at.WOKE] = time.monotonic_ns()
    return block


@pytest.fixture
def schedstat() -> Iterator[int]:
    descriptor = os.open("/proc/self/schedstat", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_beats_last_at_least_their_periods(block: Block) -> None:
    block.words[at.USUAL] = 10**12
    begin = block.words[at.WOKE]
    loop(block.words)
    assert time.monotonic_ns() - begin >= 5 * MS
    assert block.words[at.BEATS_LEFT] == 0


def test_a_due_time_that_has_passed_is_a_stall_until_now(block: Block) -> None:
    block.words[at.WOKE] -= 30 * MS
    due = block.words[at.WOKE] + MS
    block.words[at.PROCESSOR] = 3
    reader = EventReader(block)
    loop(block.words)
    first = reader.new()[0]
    assert (first.processor, first.start_ns, first.is_wait, first.unseen_ns) == (3, due, False, MS)
    assert first.end_ns >= due + 29 * MS
    assert abs(first.raw_offset_ns - (time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - time.monotonic_ns())) < MS


def test_cpu_clocks_and_run_delays_are_those_of_the_kernel(block: Block, schedstat: int) -> None:
    block.observe((os.getpid(),))
    block.read_waits_of([WaitingProcess(os.getpid(), at.UNREAD, schedstat)])
    block.words[at.USUAL] = 10**12
    before_ns, waited_before_ns = time.process_time_ns(), own_run_delay_ns()
    loop(block.words)
    assert before_ns <= block.latest_clocks()[os.getpid()] <= time.process_time_ns()
    assert waited_before_ns <= block.words[at.DELAYS] <= own_run_delay_ns()


def own_run_delay_ns() -> int:
    return kernel_texts.run_delay_ns(Path("/proc/self/schedstat").read_text())


def test_a_process_that_has_exited_has_neither_clock_nor_run_delay(block: Block) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    block.observe((child,))
    block.read_waits_of([WaitingProcess(child, at.UNREAD, at.UNREAD)])
    loop(block.words)
    assert block.latest_clocks() == {}
    assert block.words[at.DELAYS] == at.UNREAD


@settings(deadline=None)  # the first call may compile
@given(st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, 2**40))
def test_run_delays_of_any_length_are_read(ran: int, waited: int, slices: int) -> None:
    descriptor = os.memfd_create("schedstat")
    os.write(descriptor, f"{ran} {waited} {slices}\n".encode())
    assert read_run_delay(np.zeros(at.BLOCK_WORDS, np.int64), descriptor) == waited
    os.close(descriptor)


@settings(deadline=None)
@given(st.text(st.characters(codec="latin-1", exclude_characters="\x00"), max_size=15), st.integers(0, 8191))
def test_the_processor_of_a_process_of_any_name_is_read(name: str, processor: int) -> None:
    before, after = ["7"] * 34, ["0"] * 13
    text = f"123 ({name}) S {' '.join([*before, '20', str(processor), *after])}\n".encode("latin-1")
    descriptor = os.memfd_create("stat")
    os.write(descriptor, text)
    expected = kernel_texts.last_processor(text.decode("latin-1"))
    assert read_processor(np.zeros(at.BLOCK_WORDS, np.int64), descriptor) == expected == processor
    os.close(descriptor)


def test_a_process_that_has_exited_is_on_no_processor() -> None:
    assert read_processor(np.zeros(at.BLOCK_WORDS, np.int64), at.UNREAD) == at.UNREAD


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=40), st.integers(0, 12))
def test_machine_code_finds_the_same_own_time_as_its_source(steps: list[tuple[int, int]], back_ms: int) -> None:
    block = Block(memoryview(bytearray(memory_bytes(1))).cast("q"), 0, 0)
    with Path("/proc/self/stat").open("rb") as state:
        here = kernel_texts.last_processor(state.read().decode("latin-1")) or 0
        block.observe((7, 8), {7: state.fileno(), 8: state.fileno()})
        at_ms = used_ms = 0
        for lasted, ran in steps:
            at_ms, used_ms = at_ms + lasted, used_ms + min(ran, lasted)
            write_reading(block, at_ms * MS, {7: used_ms * MS, 8: used_ms * MS // 2})
        for processor in (here, at.UNREAD - 1):
            words = np.frombuffer(block.words, np.int64)
            start_ns = max(0, at_ms - back_ms) * MS
            with patch.object(own_time, "processor_of", lambda _words, _file: here):
                expected = own_time.ran_ns(block.words, start_ns, processor, 8)
            found = own_time_code(words, start_ns, processor, 8)
            # The test may have moved to another processor meanwhile.
            assert found == expected or kernel_texts.last_processor(Path("/proc/self/stat").read_text()) != here


def child_of(pid: int | None) -> int:
    (child,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return child


async def test_a_stall_of_a_relay_s_heartbeat_is_known_to_one_of_its_periods() -> None:
    processor = watched_processors()[-1]
    heartbeat = Heartbeat([processor], real_time=False, programs=["none"], module=HEARTBEAT)
    await heartbeat.start()
    try:
        await until(lambda: heartbeat.absence is None, "the heartbeat beats")
        child = child_of(heartbeat.pid)
        os.kill(child, signal.SIGSTOP)
        begin = time.monotonic_ns()
        await asyncio.sleep(0.05)
        end = time.monotonic_ns()
        os.kill(child, signal.SIGCONT)
        stalls: list[tuple[int, int]] = []

        def stalled_ns() -> int:
            stalls.extend((event.start_ns, event.end_ns) for event in heartbeat.new_events())
            return overlap_ns(united(stalls), begin, end)

        await until(lambda: stalled_ns() > 0, "the stall is written")
        assert stalled_ns() >= end - begin - PERIOD_NS - at.MIN_STALL_NS
    finally:
        await heartbeat.close()
