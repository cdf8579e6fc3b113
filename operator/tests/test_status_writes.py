"""When status and events are worth a write."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rtppool_operator.pool_events import EventLimiter
from rtppool_operator.status_writes import write_is_due

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
def test_a_change_that_matters_is_written_within_a_second_and_no_sooner(change: dict[str, Any]) -> None:
    assert not write_is_due(STATUS, changed(**change), 100.0, 100.9)
    assert write_is_due(STATUS, changed(**change), 100.0, 101.0)


def test_a_figure_that_moved_by_a_fifth_waits_for_fifteen_seconds() -> None:
    moved = changed(latency={"calls": {"samples": 1000, "p99Microseconds": 400}})
    assert not write_is_due(STATUS, moved, 100.0, 114.9)
    assert write_is_due(STATUS, moved, 100.0, 115.0)


def test_a_figure_that_moved_less_is_left_alone() -> None:
    moved = changed(latency={"calls": {"samples": 9000, "p99Microseconds": 330}})
    assert not write_is_due(STATUS, moved, 0, 1e9)


def condition(kind: str, status: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": "Because", "message": "it is so"}


def test_a_change_of_ready_is_an_event_and_false_is_a_warning() -> None:
    limiter = EventLimiter()
    assert limiter.events("u", [condition("Ready", "True")], [condition("Ready", "True")], 0) == []
    (event,) = limiter.events("u", [], [condition("Ready", "False")], 1)
    assert (event.kind, event.reason) == ("Warning", "NotReady")
    assert event.message == "Ready is False (Because): it is so"


def test_a_pool_that_flaps_is_told_of_once_in_ten_seconds() -> None:
    limiter = EventLimiter()
    told = [
        limiter.events("u", [], [condition("SLAMet", "True" if second % 2 else "False")], second)
        for second in range(30)
    ]
    assert 2 <= sum(map(len, told)) <= 4


def test_other_conditions_are_no_events() -> None:
    assert EventLimiter().events("u", [], [condition("EchoReachable", "False")], 0) == []


def test_a_deleted_pool_is_forgotten() -> None:
    limiter = EventLimiter()
    limiter.events("u", [], [condition("Ready", "False")], 0)
    limiter.forget(set())
    assert len(limiter.events("u", [], [condition("Ready", "False")], 1)) == 1
