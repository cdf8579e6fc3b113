"""Times of status and event writes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from rtppool_core.contract.report import LateByCause, ReorderingReport, Report, WindowReport, Windows, export_histogram
from rtppool_core.statistics.histogram import Histogram
from rtppool_operator.pools.spec import Pool
from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.figures import figures
from rtppool_operator.status.memory import PoolMemory
from rtppool_operator.status.write_policy import write_is_due

STATUS: dict[str, Any] = {
    "observedGeneration": 3,
    "activeCalls": 4,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "message": "m",
            "lastTransitionTime": "t",
            "observedGeneration": 3,
        }
    ],
    "relays": [{"podName": "r", "nodeName": "n", "ready": True, "activeCalls": 4}],
    "latency": {"calls": {"samples": 1000, "p99Microseconds": 300}},
    "capacity": {"free": 97},
}


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(STATUS) | changes


def test_an_unchanged_status_is_never_written_again() -> None:
    assert not write_is_due(STATUS, copy.deepcopy(STATUS), 0, 1e9)


def test_the_first_status_is_written_at_once() -> None:
    assert write_is_due({}, STATUS, None, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"activeCalls": 5},
        {"observedGeneration": 4},
        {"relays": []},
        {"conditions": [{**STATUS["conditions"][0], "status": "False"}]},
        {"conditions": [{**STATUS["conditions"][0], "reason": "Other"}]},
        {"conditions": [{**STATUS["conditions"][0], "message": "another"}]},
        {"latency": {}},
    ],
)
def test_a_change_that_matters_is_due_at_once(change: dict[str, Any]) -> None:
    assert write_is_due(STATUS, changed(**change), 100.0, 100.0)


def test_a_figure_that_moved_by_a_fifth_waits_for_fifteen_seconds() -> None:
    moved = changed(latency={"calls": {"samples": 1000, "p99Microseconds": 400}})
    assert not write_is_due(STATUS, moved, 100.0, 114.9)
    assert write_is_due(STATUS, moved, 100.0, 115.0)


def test_a_figure_that_moved_less_is_left_alone() -> None:
    moved = changed(latency={"calls": {"samples": 9000, "p99Microseconds": 330}})
    assert not write_is_due(STATUS, moved, 0, 1e9)


def probed(**figures: int) -> dict[str, Any]:
    probe = {"samples": 600, "windowSeconds": 60, "p50Microseconds": 300, "p95Microseconds": 800, "lossPpm": 0}
    return changed(latency={**STATUS["latency"], "probe": probe | figures})


@pytest.mark.parametrize(
    "figures",
    [
        {"maxMicroseconds": 50_000},
        {"p99Microseconds": 40_000},
        {"pdvMicroseconds": 30_000, "jitterMicroseconds": 900},
        {"lossBursts": 1, "gapLossPpm": 17},
        {"p50Microseconds": 900},
        {"p95Microseconds": 1_799},
        {"lossPpm": 1_999},
    ],
)
def test_what_the_probe_s_figures_do_by_themselves_is_not_written(figures: dict[str, int]) -> None:
    assert not write_is_due(probed(), probed(**figures), 0, 1e9, max_loss_ppm=2_000)
    assert not write_is_due(probed(**figures), probed(), 0, 1e9, max_loss_ppm=2_000)


@pytest.mark.parametrize(
    "figures", [{"p50Microseconds": 1_300}, {"p95Microseconds": 1_800}, {"lossPpm": 2_001}, {"lossPpm": 1_000_000}]
)
def test_a_probe_that_moved_so_that_people_care_waits_for_fifteen_seconds(figures: dict[str, int]) -> None:
    for before, now in ((probed(), probed(**figures)), (probed(**figures), probed())):
        assert not write_is_due(before, now, 100.0, 114.9, max_loss_ppm=2_000)
        assert write_is_due(before, now, 100.0, 115.0, max_loss_ppm=2_000)


def test_a_millisecond_is_not_enough_where_round_trips_are_long() -> None:
    far = probed(p50Microseconds=80_000, p95Microseconds=90_000)
    assert not write_is_due(far, probed(p50Microseconds=90_000, p95Microseconds=101_000), 0, 1e9, max_loss_ppm=2_000)


def test_the_first_figures_of_the_probe_are_written_at_once() -> None:
    assert write_is_due(STATUS, probed(), 100.0, 101.0, max_loss_ppm=2_000)


class ProbingRelay:
    """Ten packets a second to a near echo from a busy machine, in a window of one minute."""

    def __init__(self, random: Random, make_report: Callable[[], Report]) -> None:
        self._random = random
        self._make_report = make_report
        self._base_us = random.uniform(60, 600)
        self._slices = [self._slice() for _ in range(60)]
        self._second = 1_700_000_000

    def after(self, seconds: int) -> Report:
        """Return the report `seconds` later."""
        self._slices = [*self._slices[seconds:], *(self._slice() for _ in range(seconds))]
        self._second += seconds
        histogram = Histogram()
        for part in self._slices:
            histogram.merge(part)
        lost = self._random.choice((0, 0, 0, 1))
        reordered = self._random.choice((0, 0, 2))
        window = WindowReport(
            start_unix_seconds=self._second - 60,
            end_unix_seconds=self._second,
            packets=600,
            answered=600 - lost,
            lost=lost,
            late=LateByCause(relay=self._random.choice((0, 0, 0, 5))),
            reordered=reordered,
            duplicates=self._random.choice((0, 0, 1)),
            too_late=lost,
            reordering=ReorderingReport(1, 40_000, 1) if reordered else None,
            jitter_microseconds=self._random.randrange(5, 4_000),
            skew_ppm=self._random.choice((None, 3, -90)),
            round_trip=export_histogram(histogram),
            residence=export_histogram(histogram) if self._random.random() < 0.9 else None,
        )
        return structs.replace(self._make_report(), windows=Windows(probe=window))

    def _slice(self) -> Histogram:
        """Mostly near the base, one in fifty up to 50 ms from the scheduler."""
        histogram = Histogram()
        for _ in range(10):
            near_us = self._base_us * self._random.uniform(0.7, 2.0)
            round_trip_us = self._random.uniform(1_000, 50_000) if self._random.random() < 0.02 else near_us
            histogram.record(round(round_trip_us * 1000))
        return histogram


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_ten_idle_minutes_with_the_probe_on_are_no_write_at_all(
    seed: int,
    pool: Pool,
    make_report: Callable[..., Report],
    seen: Callable[..., PoolObservation],
) -> None:
    random = Random(seed)
    relays = [ProbingRelay(random, lambda: make_report(pool)) for _ in range(2)]

    def status() -> dict[str, Any]:
        observation = seen(*(relay.after(seconds=2) for relay in relays))
        return {
            **figures(observation),
            "conditions": add_times(conditions(observation), (), 3, "2026-01-01T00:00:00Z"),
        }

    assert pool.spec is not None
    written = status()
    writes = [
        at_seconds
        for at_seconds in range(2, 600, 2)
        if write_is_due(written, status(), -60.0, at_seconds, pool.spec.sla.max_loss_ppm)
    ]
    assert writes == []


def test_an_echo_that_stops_after_idle_minutes_is_written_with_the_next_poll(
    pool: Pool, make_report: Callable[..., Report], seen: Callable[..., PoolObservation]
) -> None:
    well = make_report(pool)
    stopped = structs.replace(well, echo=structs.replace(well.echo, reachable=False, reason="no packet came back"))
    before, now = (
        {**figures(each), "conditions": add_times(conditions(each), (), 3, "t")} for each in (seen(well), seen(stopped))
    )
    assert write_is_due(before, now, 0.0, 600.0, max_loss_ppm=2_000)


def condition(kind: str, status: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": "Because", "message": "it is so"}


def test_a_change_of_ready_is_an_event_and_false_is_a_warning() -> None:
    memory = PoolMemory()
    assert memory.events([condition("Ready", "True")], [condition("Ready", "True")], 0) == []
    (event,) = memory.events([], [condition("Ready", "False")], 1)
    assert (event.kind, event.reason) == ("Warning", "NotReady")
    assert event.message == "Ready is False (Because): it is so"


def test_a_pool_that_flaps_is_told_of_once_in_ten_seconds() -> None:
    memory = PoolMemory()
    told = [memory.events([], [condition("SLAMet", "True" if second % 2 else "False")], second) for second in range(30)]
    assert 2 <= sum(map(len, told)) <= 4


def test_other_conditions_are_no_events() -> None:
    assert PoolMemory().events([], [condition("EchoReachable", "False")], 0) == []
