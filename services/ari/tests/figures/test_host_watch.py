from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.host.beats_memory import TakenTime
from rtppool_core.host.figures import WITNESSES, HostFigures
from rtppool_core.host.witnesses import KernelCounters
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.figures.host_findings import STOLEN, THROTTLED, WAITING, find_host_time
from rtppool_relay.figures.host_time import MAX_START_READINGS, HostTime
from rtppool_relay.figures.host_watch import HostWatch
from rtppool_relay.streams.stalls import Stalls

MS = 1_000_000


class ScriptedBeats:
    """A heartbeat of processors 0 and 1 with given events."""

    def __init__(self) -> None:
        self.absence: str | None = None
        self.watched = [0, 1]
        self.events: list[TakenTime] = []
        self.now: list[TakenTime] = []
        self.observed: list[int] = []
        self.overwritten = 0

    def observe(self, packet_pids: Collection[int]) -> None:
        self.observed = list(packet_pids)

    def new_events(self) -> list[TakenTime]:
        events, self.events = self.events, []
        return events

    def in_progress(self, now_ns: int, raw_offset_ns: int) -> list[TakenTime]:  # noqa: ARG002 the protocol's
        return self.now


def absent_beats() -> ScriptedBeats:
    beats = ScriptedBeats()
    beats.absence, beats.watched = "the heartbeat has not started yet", []
    return beats


def taken(processor: int, start_ms: int, end_ms: int, *, is_wait: bool = False) -> TakenTime:
    """Time taken a second ago, with CLOCK_MONOTONIC_RAW 7 ms ahead."""
    base = time.monotonic_ns() // NS_PER_SECOND * NS_PER_SECOND - NS_PER_SECOND
    return TakenTime(processor, base + start_ms * MS, base + end_ms * MS, 7 * MS, is_wait)


def overlap_ms(stalls: Stalls, about: TakenTime, processor: int, *, with_waits: bool = False) -> float:
    """How much of the 100 ms around an event is taken, in a clock that is that of CLOCK_MONOTONIC_RAW."""
    start = about.start_ns + 7 * MS - 50 * MS
    spans = np.array([start]), np.array([start + 100 * MS]), np.array([processor])
    found = stalls.overlap_with_waits_ns(*spans) if with_waits else stalls.overlap_ns(*spans)
    return float(found[0]) / MS


def test_stalls_and_waits_are_handed_over_in_the_clock_of_the_rows() -> None:
    beats = ScriptedBeats()
    watch = HostWatch(HostTime(), list, KernelCounters(), beats)
    stall, wait = taken(1, 0, 5), taken(0, 100, 103, is_wait=True)
    beats.events = [stall, wait]
    for _ in range(2):
        stalls = watch.stalls(lambda raw_ns: raw_ns).since(0)
        assert overlap_ms(stalls, stall, 1) == 5
        assert overlap_ms(stalls, stall, 0) == 0
        assert overlap_ms(stalls, wait, 0) == 0
        assert overlap_ms(stalls, wait, 0, with_waits=True) == 3


def test_the_unseen_time_before_a_stall_is_handed_over_and_not_added_up() -> None:
    beats, host = ScriptedBeats(), HostTime()
    watch = HostWatch(host, list, KernelCounters(), beats)
    watch.read(NS_PER_SECOND)
    stall = taken(1, 0, 5)._replace(unseen_ns=3 * MS)
    beats.events = [stall]
    stalls = watch.stalls(lambda raw_ns: raw_ns).since(0)
    assert (overlap_ms(stalls, stall, 1), overlap_ms(stalls.at_most, stall, 1)) == (5, 8)
    watch.read(2 * NS_PER_SECOND)
    assert host.latest().stalled_ns == {0: 0, 1: 5 * MS}


def test_a_stall_in_progress_is_handed_over_and_not_added_up() -> None:
    beats, host = ScriptedBeats(), HostTime()
    watch = HostWatch(host, list, KernelCounters(), beats)
    beats.now = [taken(0, 0, 9)]
    watch.read(NS_PER_SECOND)
    assert overlap_ms(watch.stalls(lambda raw_ns: raw_ns).since(0), beats.now[0], 0) == 9
    watch.read(2 * NS_PER_SECOND)
    assert host.latest().stalled_ns == {0: 0, 1: 0}


def test_stalls_add_up_by_processor_however_often_they_are_read() -> None:
    beats, host = ScriptedBeats(), HostTime()
    watch = HostWatch(host, lambda: [77], KernelCounters(), beats)
    watch.read(NS_PER_SECOND)
    beats.events = [taken(1, 0, 5), taken(0, 0, 50, is_wait=True)]
    watch.stalls(lambda raw_ns: raw_ns)
    beats.events = [taken(1, 100, 103)]
    watch.read(2 * NS_PER_SECOND)
    assert host.latest().stalled_ns == {0: 0, 1: 8 * MS}
    assert beats.observed == [77]


def test_a_heartbeat_that_ended_is_a_reason_and_its_processors_are_not_watched() -> None:
    beats, host = absent_beats(), HostTime()
    watch = HostWatch(host, list, KernelCounters(), beats)
    watch.read(NS_PER_SECOND)
    watch.read(2 * NS_PER_SECOND)
    assert host.absent is not None
    assert host.absent["heartbeat"] == "the heartbeat has not started yet"
    assert host.latest().stalled_ns is None


def test_a_second_whose_stalls_were_overwritten_unread_says_so_and_the_next_does_not() -> None:
    beats, host = ScriptedBeats(), HostTime()
    watch = HostWatch(host, list, KernelCounters(), beats)
    watch.read(NS_PER_SECOND)
    beats.overwritten = 12
    watch.read(2 * NS_PER_SECOND)
    assert host.absent is not None
    assert host.absent["heartbeat"] == "12 stalls were overwritten before they were read"
    watch.read(3 * NS_PER_SECOND)
    assert "heartbeat" not in host.absent


def test_events_that_no_row_can_lie_in_are_forgotten() -> None:
    beats = ScriptedBeats()
    watch = HostWatch(HostTime(), list, KernelCounters(), beats)
    old = TakenTime(0, 0, MS, 0, is_wait=False)
    beats.events = [old, taken(0, 0, 5)]
    watch.stalls(lambda raw_ns: raw_ns)
    assert len(watch._events) == 1


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3000), st.integers(1, 300), st.booleans()), max_size=30))
def test_stalls_since_a_time_are_all_that_reach_beyond_it(events: list[tuple[int, int, int, bool]]) -> None:
    """Of two readings: what a row of the last second lies in is the same with all events and with the latest ones."""
    beats = ScriptedBeats()
    watch = HostWatch(HostTime(), list, KernelCounters(), beats)
    made = [taken(processor, start, start + length, is_wait=wait) for processor, start, length, wait in events]
    base = taken(0, 0, 0).start_ns + 7 * MS
    for first, last in ((0, 1500), (1500, 4000)):
        beats.events = [event for event in made if first <= (event.end_ns + 7 * MS - base) / MS < last]
        latest = watch.stalls(lambda raw_ns: raw_ns)
    begin = base + 1400 * MS
    starts = begin + np.arange(0, 2000, 7) * MS
    for processor in (0, 1, 255):
        spans = starts, starts + 5 * MS, np.full(starts.size, processor)
        some, every = latest.since(begin), latest.since(0)
        assert some.overlap_ns(*spans).tolist() == every.overlap_ns(*spans).tolist()
        assert some.overlap_with_waits_ns(*spans).tolist() == every.overlap_with_waits_ns(*spans).tolist()


def test_without_processors_and_events_nothing_watches() -> None:
    beats = absent_beats()
    watch = HostWatch(HostTime(), list, KernelCounters(), beats)
    assert not watch.stalls(lambda raw_ns: raw_ns).watching
    beats.events = [taken(0, 0, 5)]
    assert watch.stalls(lambda raw_ns: raw_ns).watching


def test_two_readings_of_this_machine_give_the_host_time_of_the_second_between() -> None:
    host = HostTime()
    watch = HostWatch(host, lambda: [os.getpid()], KernelCounters(), absent_beats())
    watch.read(10 * NS_PER_SECOND + NS_PER_SECOND // 4)
    assert host.absent is None
    watch.read(11 * NS_PER_SECOND + NS_PER_SECOND // 4)
    assert list(host.between(0, 100)) == [10]
    processors = host.latest().capacity_ns
    assert processors is not None
    assert processors >= NS_PER_SECOND
    assert host.absent is not None
    assert set(host.absent) <= set(WITNESSES)


def test_a_machine_without_counters_has_a_reason_for_each(tmp_path: Path) -> None:
    host = HostTime()
    watch = HostWatch(host, lambda: [1], KernelCounters(tmp_path), absent_beats())
    watch.read(NS_PER_SECOND)
    watch.read(2 * NS_PER_SECOND)
    assert host.latest() == HostFigures()
    assert host.absent is not None
    assert set(host.absent) == set(WITNESSES)
    assert all(host.absent.values())


def test_a_clock_that_stands_still_adds_nothing() -> None:
    host = HostTime()
    watch = HostWatch(host, list, KernelCounters(), absent_beats())
    watch.read(NS_PER_SECOND)
    watch.read(NS_PER_SECOND)
    assert host.between(0, 100) == {}


def seen(figures: HostFigures, absent: dict[str, str] | None = None) -> HostTime:
    host = HostTime()
    for second in range(60):
        host.add(second, figures, absent or {})
    return host


@pytest.mark.parametrize(
    ("figures", "finding"),
    [
        (HostFigures(capacity_ns=2 * NS_PER_SECOND, stolen_ns=2_000_000), STOLEN),
        (HostFigures(throttled_ns=1), THROTTLED),
        (HostFigures(throttled_periods=1), THROTTLED),
        (HostFigures(run_delay_ns=NS_PER_SECOND // 10), WAITING),
    ],
)
def test_each_taker_of_processors_is_a_finding_with_its_remedy(figures: HostFigures, finding: object) -> None:
    assert find_host_time(seen(figures)) == (finding,)


def test_a_cpu_limit_is_named_as_one_of_this_container() -> None:
    assert THROTTLED.sentence.startswith("a CPU limit of this container holds it back")


def test_an_undisturbed_machine_has_no_finding() -> None:
    quiet = HostFigures(2 * NS_PER_SECOND, 1_900_000, 5_000_000, 0, 0, 0, {0: 0, 1: 0})
    assert find_host_time(seen(quiet)) == ()
    assert find_host_time(HostTime()) == ()


def test_missing_witnesses_are_named_with_their_reasons_and_an_absent_limit_is_none() -> None:
    absent = {"steal": "no column", "throttling": "no CPU limit", "pressure": "no file"}
    (finding,) = find_host_time(seen(HostFigures(), absent))
    assert (finding.code, "steal (no column)" in finding.sentence) == ("HostWitnesses", True)
    assert "throttling" not in finding.sentence


def test_a_witness_that_is_only_starting_is_no_finding() -> None:
    host, starting = HostTime(), {"heartbeat": "the heartbeat has not started yet"}
    for second in range(30):
        host.add(second, HostFigures(), starting if second % 15 < MAX_START_READINGS else {})
        assert find_host_time(host) == ()
    host.add(30, HostFigures(), starting)
    assert host.absent == starting
