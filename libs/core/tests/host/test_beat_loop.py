"""The loop of a heartbeat in virtual time, on a machine whose stalls, clocks and run delays are given."""

from __future__ import annotations

import time

import pytest

from rtppool_core.host import beat_loop, own_time
from rtppool_core.host import beat_words as at
from rtppool_core.host.beat_loop import CONTENDED_NS, USUAL_STEP_NS
from rtppool_core.host.beats_memory import Block, EventReader, Reading, TakenTime, WaitingProcess, memory_bytes
from rtppool_core.host.own_processes import cpu_clock_of

MS = 1_000_000
PERIOD = 2 * MS
HERE = 3
STATE = 99
RAW_OFFSET = -5


class Machine:
    """A processor that is taken from the heartbeat in `stalls`, from a begin to an end."""

    def __init__(self) -> None:
        self.now = 100 * MS
        self.stalls: list[tuple[int, int]] = []
        self.cpu_share = 0.25
        self.delays: dict[int, int] = {}
        self.processor = HERE
        self.block = Block(memoryview(bytearray(memory_bytes(1))).cast("q"), 0, HERE)
        self.reader = EventReader(self.block)
        words = self.block.words
        words[at.PROCESSOR] = HERE
        words[at.PERIOD], words[at.CLOCKS_EVERY], words[at.WAITS_EVERY] = PERIOD, 3, 6
        words[at.WOKE] = self.now

    def beat(self, beats: int) -> list[TakenTime]:
        """Beat so often, and return the new stalls and waits."""
        self.block.words[at.BEATS_LEFT] = beats
        beat_loop.beat(self.block.words)
        return self.reader.new()

    def beat_with_own_process(self) -> list[TakenTime]:
        """Beat for 30 ms, with readings every 6 ms and a stall of 8 ms at 122 ms, beside an own process."""
        self.block.observe((7,), {7: STATE})
        self.block.words[at.WAITS_EVERY] = 10**9
        self.stalls = [(121 * MS, 130 * MS)]
        return self.beat(15)

    def read_waits_of(self, *descriptors: int) -> None:
        """Read the waits of processes, each with the descriptor of its run delays."""
        self.block.read_waits_of([WaitingProcess(each, STATE, each) for each in descriptors])

    def now_ns(self, _words: object) -> int:
        return self.now

    def sleep_until(self, _words: object, due: int) -> int:
        self.now = max([self.now, due, *(end for begin, end in self.stalls if begin <= due < end)])
        return 0

    def cpu_ns(self, _words: object, clock_id: int) -> int:
        if clock_id == time.CLOCK_MONOTONIC_RAW:
            return self.now + RAW_OFFSET
        return round(self.now * self.cpu_share) if clock_id == cpu_clock_of(7) else at.UNREAD

    def run_delay_ns(self, _words: object, descriptor: int) -> int:
        return self.delays.get(descriptor, at.UNREAD)

    def processor_of(self, _words: object, descriptor: int) -> int:
        return self.processor if descriptor == STATE else at.UNREAD


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    for name in ("sleep_until", "now_ns", "cpu_ns", "run_delay_ns"):
        monkeypatch.setattr(beat_loop, name, getattr(machine, name))
    for module in (beat_loop, own_time):
        monkeypatch.setattr(module, "processor_of", machine.processor_of)
    return machine


@pytest.fixture
def words(machine: Machine) -> memoryview:
    return machine.block.words


def stall(start_ns: int, end_ns: int, unseen_ns: int = PERIOD) -> TakenTime:
    return TakenTime(HERE, start_ns, end_ns, RAW_OFFSET, is_wait=False, unseen_ns=unseen_ns)


def wait(start_ns: int, end_ns: int, processor: int = HERE) -> TakenTime:
    return TakenTime(processor, start_ns, end_ns, RAW_OFFSET, is_wait=True)


def test_beats_on_time_are_nothing_to_report(machine: Machine, words: memoryview) -> None:
    assert machine.beat(30) == []
    assert (machine.now, words[at.BEATS_LEFT]) == (100 * MS + 30 * PERIOD, 0)
    assert words[at.DUE] == machine.now


def test_a_late_beat_is_a_stall_from_its_due_time_to_its_waking(machine: Machine) -> None:
    machine.stalls = [(109 * MS, 115 * MS)]
    assert machine.beat(5) == [stall(110 * MS, 115 * MS)]
    assert machine.beat(5) == []
    assert machine.now == 125 * MS


@pytest.mark.parametrize(("late", "stalls"), [(at.MIN_STALL_NS, 0), (at.MIN_STALL_NS + 1, 1)])
def test_a_beat_that_is_late_as_usual_is_no_stall(machine: Machine, late: int, stalls: int) -> None:
    machine.stalls = [(103 * MS, 104 * MS + late)]
    assert len(machine.beat(3)) == stalls


def test_the_usual_lateness_moves_towards_that_of_most_beats(machine: Machine, words: memoryview) -> None:
    machine.stalls = [(begin, begin + MS // 2) for begin in range(102 * MS, 10_000 * MS, MS // 4)]
    assert machine.beat(600) == []
    assert words[at.USUAL] == pytest.approx(100 * USUAL_STEP_NS, abs=2 * USUAL_STEP_NS)


def test_a_stall_begins_when_the_beat_would_have_come_as_late_as_usual(machine: Machine, words: memoryview) -> None:
    words[at.USUAL] = 400_000
    machine.stalls = [(103 * MS, 108 * MS)]
    assert machine.beat(3) == [stall(104 * MS + 400_000, 108 * MS, PERIOD + 400_000)]


def test_a_stall_is_shorter_by_the_time_in_which_own_processes_ran_there(machine: Machine) -> None:
    # A quarter of the 8 ms in it, which is less than half: what lies before it may be a stall as well.
    assert machine.beat_with_own_process() == [stall(122 * MS, 128 * MS)]


def test_where_own_processes_ran_for_most_of_a_stall_the_time_before_it_is_not_taken(machine: Machine) -> None:
    machine.cpu_share = 0.75
    assert machine.beat_with_own_process() == [stall(122 * MS, 124 * MS, unseen_ns=0)]


def test_own_processes_on_another_processor_explain_no_stall(machine: Machine) -> None:
    machine.processor = HERE + 1
    assert machine.beat_with_own_process() == [stall(122 * MS, 130 * MS)]


def test_time_in_which_own_processes_ran_all_along_is_no_stall(machine: Machine) -> None:
    machine.cpu_share = 1.0
    assert machine.beat_with_own_process() == []


def test_cpu_clocks_are_read_every_few_beats_and_at_a_stall(machine: Machine) -> None:
    machine.block.observe((7, 8))
    machine.beat(6)
    machine.stalls = [(113 * MS, 120 * MS)]
    machine.beat(1)
    expected = [120 * MS, 112 * MS, 106 * MS]
    assert [reading.at_ns for reading in machine.block.readings()] == expected
    assert machine.block.latest_clocks() == {7: 30 * MS}
    assert next(machine.block.readings()) == Reading(120 * MS, {7: 30 * MS})


def test_a_wait_of_a_packet_process_lies_about_in_the_middle_between_two_readings(machine: Machine) -> None:
    machine.delays = {11: 5 * MS}
    machine.read_waits_of(11)
    assert machine.beat(6) == []
    middle = machine.now + 6 * PERIOD // 2
    machine.delays[11] += 3 * MS
    assert machine.beat(6) == [wait(middle - 3 * MS, middle)]


def test_a_wait_is_that_of_the_processor_on_which_its_process_ran(machine: Machine) -> None:
    machine.processor = HERE + 1
    machine.delays = {11: 0}
    machine.read_waits_of(11)
    machine.beat(6)
    machine.delays[11] = 3 * MS
    assert [event.processor for event in machine.beat(6)] == [HERE + 1]


def test_a_waiting_process_does_not_explain_its_own_wait(machine: Machine) -> None:
    machine.cpu_share = 1.0
    machine.block.observe((7,), {7: STATE})
    machine.delays = {7: 0}
    machine.read_waits_of(7)
    machine.beat(6)
    machine.delays[7] = 3 * MS
    assert len(machine.beat(6)) == 1


def test_packet_processes_take_turns(machine: Machine) -> None:
    machine.delays = {11: 0, 12: 0}
    machine.read_waits_of(11, 12)
    machine.beat(12)
    machine.delays = {11: 2 * MS, 12: 3 * MS}
    lengths = [event.end_ns - event.start_ns for _ in range(2) for event in machine.beat(6)]
    assert sorted(lengths) == [2 * MS, 3 * MS]


def test_a_packet_process_that_waited_is_read_at_every_beat_until_it_does_not(
    machine: Machine, words: memoryview
) -> None:
    machine.delays = {11: 0}
    machine.read_waits_of(11)
    machine.beat(6)
    machine.delays[11] = CONTENDED_NS + 1
    machine.beat(6)
    assert words[at.IS_CONTENDED]
    machine.delays[11] += 2 * MS
    assert len(machine.beat(1)) == 1
    machine.beat(1)
    assert not words[at.IS_CONTENDED]


def test_a_packet_process_that_has_exited_waits_for_nothing(machine: Machine) -> None:
    machine.delays = {11: 0}
    machine.read_waits_of(11)
    machine.beat(6)
    machine.delays = {}
    assert machine.beat(6) == []
    machine.delays = {11: 50 * MS}
    assert machine.beat(6) == []


def test_a_stall_and_a_wait_at_the_same_beat_are_both_written(machine: Machine) -> None:
    machine.delays = {11: 0}
    machine.read_waits_of(11)
    machine.beat(6)
    machine.delays[11] = 4 * MS
    machine.stalls = [(machine.now + 11 * MS, machine.now + 20 * MS)]
    assert [event.is_wait for event in machine.beat(6)] == [False, True]
