"""What is written down of a call."""

from __future__ import annotations

import pytest

from rtppool_core.contract.report import LateByCause, ReorderingReport
from rtppool_relay.calls.record import CallCounters, CallRecord, log_fields, masked
from rtppool_relay.calls.table import CUTS, Event
from rtppool_relay.figures.call_figures import CallFigures


def test_a_number_shows_its_last_two_digits_only() -> None:
    assert masked("4940123456") == "********56"


def test_a_short_number_shows_nothing() -> None:
    assert masked("1000") == "****"


def test_no_number_is_no_number() -> None:
    assert masked("") is None


def test_refusals_are_counted_by_reason() -> None:
    counters = CallCounters()
    for reason in ("NoFreePort", "NoFreePort", "Draining"):
        counters.refuse(reason)
    assert counters.refused == {"NoFreePort": 2, "Draining": 1}


def test_every_end_of_a_call_is_counted_in_one_place_by_its_reason() -> None:
    counters = CallCounters()
    counters.end(Event.CALLER_GONE, answered=False)
    counters.end(Event.CALLER_GONE, answered=True)
    counters.end(Event.ASTERISK_GONE, answered=True)
    counters.end(Event.STEP_FAILED, answered=False)
    assert counters.left_before_answer == 1
    assert counters.ended_by == {"callerGone": 1, "asteriskGone": 1, "stepFailed": 1}
    assert counters.ended == 3


@pytest.mark.parametrize("event", [Event.CALLER_GONE, Event.CALLER_MOVED])
def test_a_call_that_its_caller_left_was_not_cut(event: Event) -> None:
    counters = CallCounters()
    counters.end(event, answered=True)
    assert counters.cut == 0


@pytest.mark.parametrize("event", sorted(CUTS, key=lambda event: event.value), ids=lambda event: event.value)
def test_a_call_that_ended_by_a_fault_or_a_drain_was_cut(event: Event) -> None:
    counters = CallCounters()
    counters.end(event, answered=True)
    assert counters.cut == 1


def test_the_log_line_is_flat_and_leaves_out_what_is_not_known() -> None:
    figures = CallFigures(
        *(10, 9, 1, 0, LateByCause(echo=2), 1, 0, 0), reordering=ReorderingReport(4, 62, 1), p99_microseconds=310
    )
    fields = log_fields(CallRecord("c", "c", "ended", 1, adopted=False, shared=False, figures=figures))
    assert (fields["packets"], fields["lost"], fields["lateEcho"], fields["p99Microseconds"]) == (10, 1, 2, 310)
    assert (fields["reorderingMaxExtent"], fields["reorderingMaxLateMicroseconds"]) == (4, 62)
    assert not {"sipCallId", "p50Microseconds", "figures"} & fields.keys()
    assert all(not isinstance(value, dict | list) for value in fields.values())
