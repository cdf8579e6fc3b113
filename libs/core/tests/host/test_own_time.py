from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.host.own_time import MAX_READINGS, MIN_SHARE, ClockHistory, Reading

MS = 1_000_000


def anywhere(_pid: int) -> bool:
    return True


def history_of(pid: int, share: float, until_ms: int, every_ms: int = 28) -> ClockHistory:
    """A process that has used the same share of a processor since time 0."""
    history = ClockHistory()
    for at in range(0, until_ms + 1, every_ms):
        history.add(Reading(at * MS, (pid,), (round(share * at * MS),)))
    return history


@given(st.floats(0, 1), st.integers(0, 27), st.integers(1, 100), st.floats(0, 1))
def test_usual_work_before_a_span_is_not_in_it(share: float, unread_ms: int, span_ms: int, share_inside: float) -> None:
    history = history_of(7, share, until_ms=560)
    start = (560 + unread_ms) * MS
    used = round(share * start) + round(share_inside * span_ms * MS)
    ran = history.ran_ns(start, Reading(start + span_ms * MS, (7,), (used,)), anywhere)
    inside = share_inside * span_ms * MS
    assert abs(ran - inside) <= MS // 1000 or (ran == 0 and inside <= span_ms * MS * MIN_SHARE + MS // 1000)


def test_a_process_that_works_in_bursts_is_not_expected_to_run() -> None:
    history = ClockHistory()
    used = 0
    for at in range(40):
        used += 20 * MS if at % 4 == 0 else 0
        history.add(Reading(at * 24 * MS, (7,), (used,)))
    end = 39 * 24 + 20
    assert history.ran_ns(end * MS, Reading((end + 30) * MS, (7,), (used + 30 * MS,)), anywhere) == 30 * MS


def test_a_process_that_takes_a_whole_processor_held_it_in_every_span() -> None:
    ran = history_of(7, 1.0, until_ms=480).ran_ns(500 * MS, Reading(560 * MS, (7,), (560 * MS,)), anywhere)
    assert ran == 60 * MS


def test_processes_ran_no_longer_than_the_span() -> None:
    history = ClockHistory()
    history.add(Reading(500 * MS, (7, 8), (0, 0)))
    assert history.ran_ns(500 * MS, Reading(510 * MS, (7, 8), (9 * MS, 9 * MS)), anywhere) == 10 * MS


def test_a_process_on_another_processor_explains_nothing() -> None:
    history = ClockHistory()
    history.add(Reading(500 * MS, (7, 8), (0, 0)))
    assert history.ran_ns(500 * MS, Reading(510 * MS, (7, 8), (4 * MS, 3 * MS)), lambda pid: pid == 8) == 3 * MS


def test_a_span_that_began_long_ago_is_compared_with_the_reading_before_it() -> None:
    history = history_of(7, 0.0, until_ms=224)
    for at in (264, 288):
        history.add(Reading(at * MS, (7,), ((at - 250) * MS,)))
    assert history.ran_ns(250 * MS, Reading(300 * MS, (7,), (50 * MS,)), anywhere) == 50 * MS


def test_a_process_without_an_earlier_reading_explains_nothing() -> None:
    assert ClockHistory().ran_ns(0, Reading(MS, (7,), (MS,)), anywhere) == 0
    assert history_of(7, 0.1, until_ms=56).ran_ns(60 * MS, Reading(70 * MS, (8,), (5 * MS,)), anywhere) == 0


def test_only_the_latest_readings_are_kept() -> None:
    history = history_of(7, 0.5, until_ms=28 * 2 * MAX_READINGS)
    assert len(history._readings) == MAX_READINGS
