"""CPU time of own processes inside a span, from readings in the words of a block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.host import own_time
from rtppool_core.host.beat_loop import NOBODY
from rtppool_core.host.beat_words import MAX_READINGS
from rtppool_core.host.beats_memory import Block, memory_bytes
from rtppool_core.host.own_time import MIN_PART, ran_ns
from rtppool_testing.beats import write_reading

MS = 1_000_000
HERE, ELSEWHERE = 3, 4
# Processes by id, each with an open file by which the test knows it.
PIDS = {7: 70, 8: 80}

Clocks = Mapping[int, int]


def ran(
    readings: Iterable[tuple[int, Clocks]], start_ns: int, *, besides: int = NOBODY, elsewhere: Iterable[int] = ()
) -> int:
    """Return the time of all processes on the processor HERE. The readings come oldest first, the last is the end."""
    block = Block(memoryview(bytearray(memory_bytes(1))).cast("q"), 0, HERE)
    block.observe(list(PIDS), PIDS)
    for at_ns, clocks in readings:
        write_reading(block, at_ns, clocks)
    away = {PIDS[pid] for pid in elsewhere}
    with patch.object(own_time, "processor_of", lambda _words, file: ELSEWHERE if file in away else HERE):
        return ran_ns(block.words, start_ns, HERE, besides)


def history_of(share: float, until_ms: int, every_ms: int = 28) -> list[tuple[int, Clocks]]:
    """A process that has used the same share of a processor since time 0."""
    return [(at * MS, {7: round(share * at * MS)}) for at in range(0, until_ms + 1, every_ms)]


@given(st.floats(0, 1), st.integers(0, 27), st.integers(1, 100), st.floats(0, 1))
def test_usual_work_before_a_span_is_not_in_it(share: float, unread_ms: int, span_ms: int, share_inside: float) -> None:
    start = (560 + unread_ms) * MS
    used = round(share * start) + round(share_inside * span_ms * MS)
    found = ran([*history_of(share, until_ms=560), (start + span_ms * MS, {7: used})], start)
    inside = share_inside * span_ms * MS
    assert abs(found - inside) <= MS // 1000 or (found == 0 and inside <= span_ms * MS / MIN_PART + MS // 1000)


def test_a_process_that_works_in_bursts_is_not_expected_to_run() -> None:
    history: list[tuple[int, Clocks]] = []
    used = 0
    for at in range(40):
        used += 20 * MS if at % 4 == 0 else 0
        history.append((at * 24 * MS, {7: used}))
    end = 39 * 24 + 20
    assert ran([*history, ((end + 30) * MS, {7: used + 30 * MS})], end * MS) == 30 * MS


def test_a_process_that_takes_a_whole_processor_held_it_in_every_span() -> None:
    assert ran([*history_of(1.0, until_ms=480), (560 * MS, {7: 560 * MS})], 500 * MS) == 60 * MS


def test_a_process_that_ran_until_the_latest_reading_is_expected_to_go_on() -> None:
    history = [*history_of(0.0, until_ms=476), (500 * MS, {7: 24 * MS})]
    assert ran([*history, (520 * MS, {7: 44 * MS})], 504 * MS) == 16 * MS


def test_processes_ran_no_longer_than_the_span() -> None:
    assert ran([(500 * MS, {7: 0, 8: 0}), (510 * MS, {7: 9 * MS, 8: 9 * MS})], 500 * MS) == 10 * MS


def test_a_process_on_another_processor_explains_nothing() -> None:
    readings = [(500 * MS, {7: 0, 8: 0}), (510 * MS, {7: 4 * MS, 8: 3 * MS})]
    assert ran(readings, 500 * MS, elsewhere=[7]) == 3 * MS


def test_a_process_that_is_left_out_explains_nothing() -> None:
    readings = [(500 * MS, {7: 0, 8: 0}), (510 * MS, {7: 4 * MS, 8: 3 * MS})]
    assert ran(readings, 500 * MS, besides=7) == 3 * MS


def test_a_span_that_began_long_ago_is_compared_with_the_reading_before_it() -> None:
    history = [*history_of(0.0, until_ms=224), (264 * MS, {7: 14 * MS}), (288 * MS, {7: 38 * MS})]
    assert ran([*history, (300 * MS, {7: 50 * MS})], 250 * MS) == 50 * MS


def test_a_span_that_began_before_all_readings_is_compared_with_the_oldest_one() -> None:
    history = [(at * MS, {7: at * MS}) for at in range(1, MAX_READINGS + 20)]
    assert ran(history, 2 * MS) == (MAX_READINGS - 1) * MS


def test_a_process_without_an_earlier_reading_explains_nothing() -> None:
    assert ran([], 0) == 0
    assert ran([(MS, {7: MS})], 0) == 0
    assert ran([*history_of(0.1, until_ms=56), (70 * MS, {8: 5 * MS})], 60 * MS) == 0
