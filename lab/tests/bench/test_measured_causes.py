"""The figures of runs with known causes, and the runs that prove nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bench.causes.cpu_group import Throttling
from lab.bench.causes.disturber import RECORD, SPIN, StallLog
from lab.bench.causes.plan import Means, Stall
from lab.bench.causes.shown import Shown
from lab.bench.causes.stage import Observation, Stretch
from lab.bench.causes.truth import Cause, Truth
from lab.bench.measure import causes, overload, witnesses
from lab.bench.measure.witnesses import Cost
from lab.bench.results.figures import Figure
from lab.bench.results.median_interval import median_interval

MS = 1_000_000
NO_RECORDS = StallLog(np.zeros(0, RECORD))
COST = Cost(1000.0, 10.0, 5.0, 1.0, 0.0, 0)


def stretch(
    true: Mapping[Cause, int] | None = None,
    shown: Mapping[Cause, int] | None = None,
    throttling: Throttling | None = None,
    throttled_seconds: float | None = None,
) -> Stretch:
    seconds = {} if throttled_seconds is None else {"throttled": throttled_seconds}
    known = dict.fromkeys(Cause, 0) | dict(true or {})
    late = dict.fromkeys(Cause, 0) | dict(shown or {})
    return Stretch(Truth(known, 0, known), Shown(late, seconds), 10_000, 0, 5_000, 0.0, throttling)


def observation(disturbed: Stretch, *, planned: int = 0, log: StallLog = NO_RECORDS) -> Observation:
    stalls = tuple(Stall(Means.SPIN, number * 100 * MS, 50 * MS) for number in range(planned))
    return Observation(stretch(), disturbed, log, stalls)


def named(figures: list[Figure], part: str) -> Figure:
    (found,) = [each for each in figures if part in each.name]
    return found


def test_an_error_is_a_share_of_all_late_packets_without_the_machines_own() -> None:
    """The machine's own are 20, three of four by the relay, as in the quiet stretch."""
    disturbed = stretch({Cause.RELAY: 880, Cause.HOST: 100}, {Cause.RELAY: 935, Cause.HOST: 65})
    disturbed = replace(disturbed, truth=replace(disturbed.truth, unknown=20))
    run = replace(observation(disturbed), quiet=stretch(shown={Cause.RELAY: 30, Cause.HOST: 10}))
    figures = causes.figures_of("run", run)
    assert named(figures, ": relay,").values == [4.0]
    assert named(figures, ": relay,").reached is True
    assert named(figures, ": host,").values == [4.0]


def test_a_cause_that_the_relay_does_not_show_has_no_figure() -> None:
    disturbed = stretch({Cause.HOST: 900})
    del disturbed.shown.late[Cause.HOST]
    figure = named(causes.figures_of("run", observation(disturbed)), ": host,")
    assert (figure.median, figure.note) == (None, "the relay does not show this cause")


def test_the_throttled_time_and_the_packets_in_it_are_judged() -> None:
    disturbed = stretch({Cause.HOST: 1000}, {Cause.HOST: 940}, Throttling(300, 90, 4_000 * MS), 3.8)
    figures = causes.figures_of("run", observation(disturbed))
    assert named(figures, ": throttled time").median == pytest.approx(5.0)
    assert named(figures, "not shown as host").values == [6.0]
    assert named(figures, "not shown as host").reached is False


def test_a_run_with_few_late_packets_or_a_restless_quiet_stretch_is_void() -> None:
    assert "499 late packets" in causes.void_reason(observation(stretch({Cause.RELAY: 499})))
    run = observation(stretch({Cause.RELAY: 600}))
    assert causes.void_reason(run) == ""
    restless = replace(run, quiet=stretch({Cause.SOURCE: 61}))
    assert "quiet stretch" in causes.void_reason(restless)


def test_a_run_whose_own_log_does_not_show_the_planned_stalls_is_void() -> None:
    late = stretch({Cause.HOST: 600})
    made = np.array([(SPIN, cpu, at * 100 * MS, at * 100 * MS + 50 * MS) for at in range(10) for cpu in (0, 1)], RECORD)
    assert causes.void_reason(observation(late, planned=10, log=StallLog(made))) == ""
    one_processor = StallLog(made[made["target"] == 0][:8])
    assert "400 ms of stalls" in causes.void_reason(observation(late, planned=10, log=one_processor))
    throttled = stretch({Cause.HOST: 600}, throttling=Throttling(100, 8, MS))
    assert "8 periods throttled" in causes.void_reason(observation(throttled, planned=10))


def test_an_overloaded_relay_is_judged_over_both_stretches_and_a_disturbed_one_over_its_own() -> None:
    quiet, disturbed = stretch(shown={Cause.RELAY: 300}), stretch(shown={Cause.RELAY: 300, Cause.HOST: 60})
    run = replace(observation(disturbed), quiet=quiet)
    figure = named(overload.figures_of("run", Cause.RELAY, run), "not shown as relay")
    assert figure.median == pytest.approx(100 * 60 / 660)
    assert figure.reached is False
    disturbed_alone = replace(run, planned=(Stall(Means.SPIN, 0, 1),))
    assert overload.late_by_cause(disturbed_alone).total() == 360


def test_an_overload_under_steal_is_void() -> None:
    late = {Cause.RELAY: 600}
    calm = observation(stretch(late, late))
    assert overload.void_reason(Cause.RELAY, calm) == ""
    stolen = replace(calm, quiet=replace(calm.quiet, steal_per_cent=1.0))
    assert overload.void_reason(Cause.RELAY, stolen) == "steal 1.0 %"


def test_an_overload_that_made_the_echo_late_as_well_is_void() -> None:
    shown = {Cause.RELAY: 600}
    run = observation(stretch({Cause.SOURCE: 900, Cause.RELAY: 949, Cause.ECHO: 51}, shown))
    assert overload.void_reason(Cause.RELAY, run) == "the true causes are 900 source, 949 relay, 51 echo"
    run = observation(stretch({Cause.SOURCE: 900, Cause.RELAY: 951, Cause.ECHO: 49}, shown))
    assert overload.void_reason(Cause.RELAY, run) == ""


def test_the_witnesses_cost_their_processes_and_the_difference_of_the_control_process() -> None:
    on = [replace(COST, p99_us=1010.0, control_per_cent=5.5, beats_per_cent=2.0)] * 20
    loops = [replace(COST, beats_per_cent=1.8)] * 4
    figures = witnesses.figures_of(on, [COST] * 20, loops, watched=2)
    assert named(figures, "heartbeat").median == 1.0
    assert named(figures, "a C loop").median == 0.9
    assert named(figures, "in all").median == 2.5
    assert named(figures, "upper end").values == [1.01]


@pytest.mark.parametrize(("count", "ranks"), [(5, None), (6, (0, 5)), (20, (5, 14))])
def test_the_interval_of_a_median_is_that_of_the_tables(count: int, ranks: tuple[int, int] | None) -> None:
    found = median_interval([float(value) for value in range(count)])
    assert found == (None if ranks is None else (float(ranks[0]), float(ranks[1])))


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=40))
def test_the_interval_of_a_median_holds_the_median(values: list[float]) -> None:
    found = median_interval(values)
    assert found is not None
    low, high = found
    assert low <= np.median(values) <= high
