"""The record of a call, and the counters of all calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.report import LateByCause, ReorderingReport
from rtppool_relay.calls.record import (
    EDGES_MICROSECONDS,
    CallCounters,
    CallDurations,
    CallRecord,
    log_fields,
)
from rtppool_relay.calls.table import CUTS, CallEvent, CallState
from rtppool_relay.figures.call_figures import CallFigures

NS_PER_US = 1_000


def test_refusals_are_counted_by_reason() -> None:
    counters = CallCounters()
    for reason in ("NoFreePort", "NoFreePort", "Draining"):
        counters.count_refusal(reason)
    assert counters.refused == {"NoFreePort": 2, "Draining": 1}


def test_every_end_of_a_call_is_counted_in_one_place_by_its_reason() -> None:
    counters = CallCounters()
    counters.count_end(CallEvent.CALLER_GONE, answered=False)
    counters.count_end(CallEvent.CALLER_GONE, answered=True)
    counters.count_end(CallEvent.ASTERISK_GONE, answered=True)
    counters.count_end(CallEvent.STEP_FAILED, answered=False)
    assert counters.left_before_answer == 1
    assert counters.ended_by == {"callerGone": 1, "asteriskGone": 1, "stepFailed": 1}
    assert counters.ended == 3


@pytest.mark.parametrize("event", [CallEvent.CALLER_GONE, CallEvent.CALLER_MOVED])
def test_a_call_that_its_caller_left_was_not_cut(event: CallEvent) -> None:
    counters = CallCounters()
    counters.count_end(event, answered=True)
    assert counters.cut == 0


@pytest.mark.parametrize("event", sorted(CUTS, key=lambda event: event.value), ids=lambda event: event.value)
def test_a_call_that_ended_by_a_fault_or_a_drain_was_cut(event: CallEvent) -> None:
    counters = CallCounters()
    counters.count_end(event, answered=True)
    assert counters.cut == 1


def test_the_log_line_is_flat_and_omits_unknown_values() -> None:
    figures = CallFigures(
        packets=10,
        answered=9,
        lost=1,
        late=LateByCause(echo=2, host=3, judged=4),
        reordered=1,
        duplicates=0,
        too_late=0,
        reordering=ReorderingReport(4, 62, 1),
        p99_microseconds=310,
    )
    fields = log_fields(CallRecord("c", "c", CallState.ENDED, 1, figures=figures))
    assert (fields["packets"], fields["lost"], fields["lateEcho"], fields["p99Microseconds"]) == (10, 1, 2, 310)
    assert (fields["lateHost"], fields["lateJudged"]) == (3, 4)
    assert (fields["reorderingMaxExtent"], fields["reorderingMaxLateMicroseconds"]) == (4, 62)
    assert not {"sipCallId", "p50Microseconds", "figures"} & fields.keys()
    assert all(not isinstance(value, dict | list) for value in fields.values())


def test_without_a_call_there_is_no_report() -> None:
    assert CallDurations().report() is None


def test_a_value_on_an_edge_counts_below_it() -> None:
    durations = CallDurations()
    durations.add(40_000 * NS_PER_US)
    durations.add(40_000 * NS_PER_US + 1)
    report = durations.report()
    assert report is not None
    buckets = dict(report.buckets)
    assert (buckets[30_000], buckets[40_000], buckets[50_000]) == (0, 1, 2)


def test_a_report_has_the_durations_since_the_one_before() -> None:
    durations = CallDurations()
    for number in (1, 2):
        durations.add(1_000)
        report = durations.report()
        assert report is not None
        assert report.samples == number
        assert durations.report() is report


@given(st.lists(st.integers(1, 20_000_000_000), min_size=1, max_size=200))
def test_buckets_grow_and_hold_the_values_up_to_their_edge(values_ns: list[int]) -> None:
    durations = CallDurations()
    for value in values_ns:
        durations.add(value)
    report = durations.report()
    assert report is not None
    assert [edge for edge, _ in report.buckets] == list(EDGES_MICROSECONDS)
    for edge, count in report.buckets:
        assert count == sum(value <= edge * NS_PER_US for value in values_ns)
    assert report.samples == len(values_ns)
    assert report.sum_microseconds == sum(values_ns) // NS_PER_US
    assert report.max_microseconds == round(max(values_ns) / NS_PER_US)


@given(st.lists(st.integers(1_000, 20_000_000_000), min_size=1, max_size=200))
def test_quantiles_are_in_order_and_near_the_nearest_rank(values_ns: list[int]) -> None:
    durations = CallDurations()
    for value in values_ns:
        durations.add(value)
    report = durations.report()
    assert report is not None
    assert report.p50_microseconds <= report.p95_microseconds <= report.p99_microseconds <= report.max_microseconds + 1
    rank = sorted(values_ns)[-(-99 * len(values_ns) // 100) - 1]
    assert abs(report.p99_microseconds * NS_PER_US - rank) <= rank * 0.016 + NS_PER_US
