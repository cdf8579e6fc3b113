"""Who calls when."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_callgen.plan.plan import PAUSE_SECONDS, RETRY_SECONDS, SLACK_SECONDS, Lines, LoadPlan

ALMOST = 1e-6


@st.composite
def plans(draw: st.DrawFn) -> LoadPlan:
    concurrent = draw(st.integers(1, 40))
    call_seconds = draw(st.sampled_from([0.5, 1.0, 3.0, 7.5, 30.0]))
    slowest = concurrent / call_seconds
    per_second = draw(st.floats(slowest, slowest * 20))
    duration = call_seconds * draw(st.floats(1, 6))
    return LoadPlan(concurrent, per_second, duration, call_seconds)


class Talk:
    """Plays a plan at its own pace, without a clock. `early` says after how long a call ends by itself."""

    def __init__(self, plan: LoadPlan, late_seconds: float = 0.0) -> None:
        self.plan, self.lines = plan, Lines(plan)
        self.late_seconds = late_seconds
        self.began: list[float] = []
        self.lasted: list[float] = []
        self.most = 0
        self._live: dict[int, float] = {}

    def play(self) -> None:
        while (at := self.lines.next_seconds()) is not None:
            now = at + self.late_seconds
            for line in self.lines.take_hang_ups(now):
                self.lasted.append(now - self._live.pop(line))
            for line in self.lines.take_arrivals(now):
                self._live[line] = now
                self.began.append(now)
            self.most = max(self.most, len(self._live))
            assert self.lines.active == len(self._live)
        assert self.lines.over
        assert not self._live


@given(plans())
def test_on_time_every_planned_call_is_placed_and_lasts_its_time(plan: LoadPlan) -> None:
    talk = Talk(plan)
    talk.play()
    assert len(talk.began) >= plan.calls
    assert all(math.isclose(lasted, plan.call_seconds, abs_tol=ALMOST) for lasted in talk.lasted)
    assert len(talk.lasted) == len(talk.began)


@given(plans())
def test_there_are_never_more_calls_than_asked_for_and_as_many_at_some_time(plan: LoadPlan) -> None:
    talk = Talk(plan)
    talk.play()
    assert talk.most == plan.concurrent


@given(plans())
def test_callers_arrive_no_faster_than_the_rate(plan: LoadPlan) -> None:
    talk = Talk(plan)
    talk.play()
    apart = [later - earlier for earlier, later in zip(talk.began, talk.began[1:], strict=False)]
    assert all(gap >= 1 / plan.per_second - ALMOST for gap in apart)


@given(plans(), st.floats(0, 0.2))
def test_the_load_ends_in_time_even_when_every_step_comes_late(plan: LoadPlan, late_seconds: float) -> None:
    talk = Talk(plan, late_seconds)
    talk.play()
    assert max(talk.began) + plan.call_seconds <= plan.total_seconds + SLACK_SECONDS + late_seconds + ALMOST


def test_the_load_of_the_service_level_makes_at_least_nine_hundred_calls() -> None:
    plan = LoadPlan(concurrent=100, per_second=10, duration_seconds=300, call_seconds=30)
    talk = Talk(plan, late_seconds=0.01)
    talk.play()
    assert plan.calls == 1000
    assert len(talk.began) == 1000
    assert plan.total_seconds == pytest.approx(311.7)


def test_between_two_calls_of_a_line_the_relay_has_time_to_let_go() -> None:
    lines = Lines(LoadPlan(concurrent=1, per_second=10, duration_seconds=60, call_seconds=10))
    lines.take_arrivals(0)
    assert lines.take_hang_ups(10) == [0]
    assert lines.take_arrivals(10) == []
    assert lines.next_seconds() == pytest.approx(10 + PAUSE_SECONDS)


def test_a_refused_caller_calls_again_after_a_while_and_not_at_once() -> None:
    lines = Lines(LoadPlan(concurrent=1, per_second=10, duration_seconds=60, call_seconds=10))
    assert lines.take_arrivals(0) == [0]
    lines.ended(0, 0.05)
    assert lines.take_arrivals(0.5) == []
    assert lines.next_seconds() == pytest.approx(0.05 + RETRY_SECONDS)
    assert lines.take_arrivals(1.06) == [0]


def test_a_call_that_could_not_last_is_not_begun() -> None:
    lines = Lines(LoadPlan(concurrent=1, per_second=10, duration_seconds=20, call_seconds=10))
    assert lines.take_arrivals(0) == [0]
    lines.ended(0, 12.0)
    assert lines.over
    assert lines.next_seconds() is None


def test_an_end_that_is_told_twice_counts_once() -> None:
    lines = Lines(LoadPlan(concurrent=1, per_second=10, duration_seconds=60, call_seconds=10))
    lines.take_arrivals(0)
    lines.ended(0, 1.0)
    lines.ended(0, 5.0)
    assert lines.next_seconds() == pytest.approx(1.0 + RETRY_SECONDS)


def test_calls_missed_while_the_machine_stood_still_do_not_arrive_in_one_burst() -> None:
    lines = Lines(LoadPlan(concurrent=30, per_second=10, duration_seconds=60, call_seconds=10))
    assert lines.take_arrivals(0) == [0]
    assert len(lines.take_arrivals(2.5)) == 1


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (LoadPlan(10, 10, 20, 30), "--call-duration 30: no call of that length fits in --duration 20"),
        (LoadPlan(100, 2, 300, 30), "never exceed 60 concurrent calls; accepted for --concurrent 100 are 3.3 or more"),
    ],
)
def test_an_impossible_load_is_refused_with_what_is_accepted(plan: LoadPlan, sentence: str) -> None:
    assert sentence in " ".join(plan.problems())


def test_the_relays_records_are_read_before_they_are_pushed_out() -> None:
    assert LoadPlan(100, 10, 300, 30).calls_poll_seconds == 5
    assert LoadPlan(100, 200, 300, 30).calls_poll_seconds == 0.5
