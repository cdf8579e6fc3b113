"""Events of callers, and the tally of their calls."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.plan.caller_events import (
    CallerEvent,
    Ended,
    NotPlaced,
    Over,
    Placed,
    classify_end,
    from_line,
    to_line,
)
from rtppool_core.contract.codec import ContractError
from rtppool_core.contract.report import HistogramExport, export_histogram
from rtppool_core.statistics.histogram import Histogram, SchemeError

words = st.text(max_size=40)


@st.composite
def histograms(draw: st.DrawFn) -> HistogramExport | None:
    histogram = Histogram()
    for value in draw(st.lists(st.integers(1_000, 10**9), max_size=20)):
        histogram.record(value)
    return export_histogram(histogram)


events: st.SearchStrategy[CallerEvent] = st.one_of(
    st.builds(Placed, words),
    st.builds(NotPlaced, words),
    st.builds(
        Ended,
        words,
        st.sampled_from(["completed", "refused", "failed", "interrupted"]),
        st.none() | words,
        st.none() | st.integers(0, 10**6),
        st.none() | st.integers(0, 10**6),
        histograms(),
    ),
    st.builds(Over, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)),
)


@given(events)
def test_every_event_is_one_line_and_comes_back_as_it_was(event: CallerEvent) -> None:
    line = to_line(event)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert from_line(line) == event


@given(st.text(max_size=60) | st.builds(json.dumps, st.dictionaries(st.sampled_from(["event", "channel"]), words)))
def test_a_line_is_an_event_or_refused_and_nothing_else(line: str) -> None:
    with contextlib.suppress(ContractError):
        assert from_line(line)


def test_a_line_of_another_kind_is_refused_with_what_is_accepted() -> None:
    with pytest.raises(ContractError, match="accepted is one of Placed, NotPlaced, Ended, Over"):
        from_line('{"event": "Began"}')


@pytest.mark.parametrize(
    ("answered", "refused", "given_back", "hung_up", "expected"),
    [
        (True, None, None, "asPlanned", ("completed", None)),
        (False, None, None, "asPlanned", ("failed", "NotAnswered")),
        (False, "NoFreePort", None, None, ("refused", "NoFreePort")),
        (False, "NoFreePort", None, "asPlanned", ("refused", "NoFreePort")),
        (True, None, None, "interrupted", ("interrupted", None)),
        (False, None, None, "interrupted", ("interrupted", None)),
        (True, None, "mediaGone", None, ("failed", "mediaGone")),
        (True, None, None, None, ("failed", "EndedEarly")),
    ],
)
def test_how_a_call_ended(
    answered: bool, refused: str | None, given_back: str | None, hung_up: str | None, expected: tuple[str, str | None]
) -> None:
    assert classify_end(answered=answered, refused=refused, given_back=given_back, hung_up=hung_up) == expected  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["completed", "refused", "failed", "interrupted", "talks"]), max_size=60))
def test_the_account_adds_up(fates: list[str]) -> None:
    tally = Tally()
    for number, fate in enumerate(fates):
        tally.add(Placed(str(number)))
        if fate != "talks":
            tally.add(Ended(str(number), fate, "Why"))  # type: ignore[arg-type]
    assert tally.placed == len(fates)
    assert tally.active == fates.count("talks")
    assert tally.completed == fates.count("completed")
    assert sum(tally.refused.values()) == fates.count("refused")
    assert sum(tally.failed.values()) == fates.count("failed")


def test_a_caller_who_got_nothing_back_is_counted_and_one_who_counts_no_packets_is_not() -> None:
    tally = Tally()
    tally.add(Ended("a", "completed"))
    assert tally.heard_nothing is None
    tally.add(Ended("b", "completed", None, 100, 99))
    assert tally.heard_nothing == 0
    tally.add(Ended("c", "completed", None, 100, 0))
    assert tally.heard_nothing == 1


def test_round_trips_of_all_callers_lie_in_one_histogram() -> None:
    tally = Tally()
    assert tally.round_trips is None
    for value in (100_000, 300_000):
        histogram = Histogram()
        histogram.record(value)
        tally.add(Ended("a", "completed", None, 1, 1, export_histogram(histogram)))
    assert tally.round_trips is not None
    assert (tally.round_trips.count, tally.round_trips.min_ns, tally.round_trips.max_ns) == (2, 100_000, 300_000)


def test_a_histogram_of_another_scheme_is_refused() -> None:
    with pytest.raises(SchemeError):
        Tally().add(Ended("a", "completed", None, 1, 1, HistogramExport(((1, 1),), 1, 1, "other")))


def test_what_is_left_in_asterisk_is_not_known_before_the_end() -> None:
    tally = Tally()
    assert (tally.channels_left, tally.bridges_left, tally.over) == (None, None, False)
    tally.add(Over(0, 0))
    assert (tally.channels_left, tally.bridges_left, tally.over) == (0, 0, True)
