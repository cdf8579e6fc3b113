"""The truth that the shown causes are compared with: stages, stalls and their overlaps."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bench.causes.cpu_group import Throttling, parse_throttling
from lab.bench.causes.disturber import GAP, RECORD, SPIN, STOP, StallLog, joined
from lab.bench.causes.intervals import NOTHING, Int64s, Intervals, intersection, union
from lab.bench.causes.plan import Means, Stall, random_stalls, regular_stalls
from lab.bench.causes.shown import read_shown
from lab.bench.causes.truth import Cause, Timelines, Usual, true_causes, usual_of
from rtppool_core.units import NS_PER_SECOND

MS = 1_000_000
USUAL = Usual(0, 0)
SECOND = 1_000 * MS

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12)


def times(*values: float) -> Int64s:
    return np.array([round(value * MS) for value in values], np.int64)


def intervals(*pairs: tuple[float, float]) -> Intervals:
    return Intervals.of(times(*(begin for begin, _ in pairs)), times(*(end for _, end in pairs)))


def of_pairs(pairs: list[tuple[int, int]]) -> Intervals:
    begins = np.array([begin for begin, _ in pairs], np.int64)
    return Intervals.of(begins, begins + np.array([length for _, length in pairs], np.int64))


def instants(found: Intervals) -> set[int]:
    return {at for begin, end in zip(found.begins, found.ends, strict=True) for at in range(begin, end)}


def one_packet(due: float, sent: float, arrived: float, departed: float, returned: float) -> Timelines:
    return Timelines(*(times(value) for value in (due, sent, arrived, departed, returned)))


def causes_of(packets: Timelines, host: Intervals = NOTHING, disturbed: Intervals | None = None) -> list[Cause]:
    everywhere = intervals((-1000, 1000)) if disturbed is None else disturbed
    known = true_causes(packets, USUAL, host, everywhere).known
    return [cause for cause, count in known.items() for _ in range(count)]


@given(pairs)
def test_a_union_covers_the_same_instants_and_its_intervals_do_not_touch(pairs: list[tuple[int, int]]) -> None:
    found = of_pairs(pairs)
    assert instants(found) == {at for begin, length in pairs for at in range(begin, begin + length)}
    assert (found.begins[1:] > found.ends[:-1]).all()


@given(pairs, pairs)
def test_an_intersection_covers_the_instants_of_both(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    assert instants(intersection([of_pairs(left), of_pairs(right)])) == instants(of_pairs(left)) & instants(
        of_pairs(right)
    )
    assert instants(union([of_pairs(left), of_pairs(right)])) == instants(of_pairs(left)) | instants(of_pairs(right))


@given(pairs, pairs)
def test_an_overlap_is_the_number_of_common_instants(
    stalls: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    covered = instants(of_pairs(stalls))
    begins = np.array([begin for begin, _ in asked], np.int64)
    ends = begins + np.array([length for _, length in asked], np.int64)
    expected = [len(covered & set(range(begin, end))) for begin, end in zip(begins, ends, strict=True)]
    assert of_pairs(stalls).overlap_ns(begins, ends).tolist() == expected


def test_the_largest_stage_names_the_cause() -> None:
    assert causes_of(one_packet(0, 10, 11, 12, 13)) == [Cause.SOURCE]
    assert causes_of(one_packet(0, 1, 6, 7, 12)) == [Cause.RELAY]
    assert causes_of(one_packet(0, 1, 2, 12, 13)) == [Cause.ECHO]


def test_a_packet_within_the_threshold_is_not_late() -> None:
    truth = true_causes(one_packet(0, 1, 1.5, 2, 3), USUAL, NOTHING, intervals((0, 3)))
    assert (truth.late, truth.unknown) == (0, 0)


@pytest.mark.parametrize("stall", [(0, 9), (9, 13), (20, 40)])
def test_a_stage_in_a_stall_of_all_processors_is_the_hosts_whichever_stage_it_is(stall: tuple[float, float]) -> None:
    begin, end = stall
    length = end - begin
    for stage in range(4):
        moments = [begin + (length if at > stage else 0) + 0.1 * at for at in range(5)]
        assert causes_of(one_packet(*moments), intervals(stall)) == [Cause.HOST]


def test_a_remainder_above_the_threshold_is_judged_by_the_largest_part() -> None:
    host = intervals((0, 10))
    assert causes_of(one_packet(0, 24, 24, 24, 24), host) == [Cause.SOURCE]
    assert causes_of(one_packet(0, 15, 15, 15, 15), host) == [Cause.HOST]
    assert causes_of(one_packet(0, 20, 20, 20, 20), host) == [Cause.SOURCE], "a tie is never the host's"


def test_late_packets_far_from_every_stall_are_the_machines_own() -> None:
    truth = true_causes(one_packet(500, 510, 511, 512, 513), USUAL, NOTHING, intervals((0, 100)))
    assert (truth.late, truth.unknown) == (1, 1)


def test_a_packet_in_the_queue_behind_a_stall_belongs_to_the_stall() -> None:
    assert causes_of(one_packet(105, 106, 115, 116, 117), disturbed=intervals((0, 100))) == [Cause.RELAY]


def test_the_usual_parts_are_a_low_percentile_of_the_source_and_the_median_of_the_echo() -> None:
    count = 100
    due = np.arange(count, dtype=np.int64) * 20 * MS
    late = np.arange(count, dtype=np.int64) * 1000
    packets = Timelines(due, due + late, due + late, due + 2 * late, due + 2 * late)
    assert usual_of(packets) == Usual(4000, 49_000)


def test_processors_are_taken_at_once_where_each_was_taken_and_short_gaps_do_not_count() -> None:
    records = np.array(
        [
            (SPIN, 0, 0, 10 * MS),
            (GAP, 1, 5 * MS, 20 * MS),
            (GAP, 1, 30 * MS, 30 * MS + 900_000),
            (SPIN, 0, 30 * MS, 40 * MS),
            (STOP, 77, 50 * MS, 60 * MS),
        ],
        RECORD,
    )
    log = joined([StallLog(records[:2]), StallLog(records[2:])])
    assert (log.host().begins.tolist(), log.host().ends.tolist()) == ([5 * MS], [10 * MS])
    assert log.stopped([77]).total_ns == 10 * MS
    assert log.stopped([78]).total_ns == 0


def test_random_stalls_lie_in_their_stretch_in_order_with_room_for_the_queues() -> None:
    stalls = random_stalls(Means.STOP, random.Random(1), 36.0, 30.0, [5, 6])
    assert len(stalls) > 50
    assert stalls[0].begin_ns >= 36 * NS_PER_SECOND
    assert stalls[-1].begin_ns + stalls[-1].length_ns <= 66 * NS_PER_SECOND
    assert all(a.begin_ns + a.length_ns + 100 * MS < b.begin_ns for a, b in pairwise(stalls))
    assert Stall(Means.STOP, 1, 2, (5, 6)).line == "stop 1 2 5 6"


def test_regular_stalls_take_the_same_share_of_each_moment() -> None:
    stalls = regular_stalls(Means.SPIN, 10.0, 2.0, 1.0, 0.1)
    assert [each.begin_ns for each in stalls] == [SECOND + number * 10 * MS for number in range(10)]
    assert {each.length_ns for each in stalls} == {2 * MS}


@pytest.mark.parametrize(
    "text",
    [
        "nr_periods 9\nnr_throttled 4\nthrottled_time 7000000\nnr_bursts 0\nburst_time 0\n",
        "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 9\nnr_throttled 4\nthrottled_usec 7000\n",
    ],
)
def test_the_throttled_time_of_both_cgroup_versions_is_the_same(text: str) -> None:
    assert parse_throttling(text) == Throttling(9, 4, 7 * MS)


def test_a_cause_that_the_relay_does_not_show_is_absent_and_not_zero() -> None:
    scrape = (
        '# TYPE rtp_relay_late_packets_total counter\nrtp_relay_late_packets_total{stream="calls",cause="relay"} 3\n'
        'rtp_relay_late_packets_total{stream="probe",cause="relay"} 9\n'
        "# TYPE rtp_relay_host_stall_seconds_total counter\n"
        'rtp_relay_host_stall_seconds_total{processor="0"} 0.5\n'
        'rtp_relay_host_stall_seconds_total{processor="1"} 0.25\n'
    )
    shown = read_shown(scrape)
    assert shown.late == {Cause.RELAY: 3}
    assert shown.host_seconds == {"stall": 0.75}
    assert shown.since(read_shown("")) == shown
