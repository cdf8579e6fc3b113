from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.host.own_time import MAX_READINGS, ClockHistory, Reading

MS = 1_000_000


def history_of(pid: int, share: float, until_ms: int, every_ms: int = 24) -> ClockHistory:
    """A process that has used the same share of a processor since time 0."""
    history = ClockHistory()
    for at in range(0, until_ms + 1, every_ms):
        history.add(Reading(at * MS, (pid,), (round(share * at * MS),)))
    return history


@given(st.floats(0, 1), st.integers(0, 23), st.integers(1, 100), st.floats(0, 1))
def test_usual_work_before_a_span_is_not_in_it(share: float, unread_ms: int, span_ms: int, share_inside: float) -> None:
    history = history_of(7, share, until_ms=480)
    start = (480 + unread_ms) * MS
    used = round(share * start) + round(share_inside * span_ms * MS)
    ran = history.ran_ns(start, Reading(start + span_ms * MS, (7,), (used,)))
    assert abs(ran[7] - share_inside * span_ms * MS) <= MS // 1000


def test_a_process_that_works_in_bursts_is_not_expected_to_run() -> None:
    history = ClockHistory()
    used = 0
    for at in range(40):
        used += 20 * MS if at % 4 == 0 else 0
        history.add(Reading(at * 24 * MS, (7,), (used,)))
    end = 39 * 24 + 20
    assert history.ran_ns(end * MS, Reading((end + 30) * MS, (7,), (used + 30 * MS,))) == {7: 30 * MS}


def test_a_process_that_takes_a_whole_processor_held_it_in_every_span() -> None:
    ran = history_of(7, 1.0, until_ms=480).ran_ns(500 * MS, Reading(560 * MS, (7,), (560 * MS,)))
    assert ran == {7: 60 * MS}


def test_a_process_ran_no_longer_than_the_span() -> None:
    ran = history_of(7, 0.0, until_ms=480).ran_ns(500 * MS, Reading(510 * MS, (7,), (22 * MS,)))
    assert ran == {7: 10 * MS}


def test_a_span_that_began_long_ago_is_compared_with_the_reading_before_it() -> None:
    history = history_of(7, 0.0, until_ms=240)
    for at in (264, 288):
        history.add(Reading(at * MS, (7,), ((at - 250) * MS,)))
    assert history.ran_ns(250 * MS, Reading(300 * MS, (7,), (50 * MS,))) == {7: 50 * MS}


def test_a_process_without_an_earlier_reading_explains_nothing() -> None:
    assert ClockHistory().ran_ns(0, Reading(MS, (7,), (MS,))) == {}
    assert history_of(7, 0.1, until_ms=48).ran_ns(50 * MS, Reading(60 * MS, (8,), (5 * MS,))) == {}


def test_readings_of_about_a_second_are_kept() -> None:
    history = history_of(7, 0.5, until_ms=24 * 2 * MAX_READINGS)
    assert len(history._readings) == MAX_READINGS
