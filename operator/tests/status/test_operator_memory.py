"""An edit by another client is noticed; a field that an older definition drops is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rtppool_operator.pools.spec import Pool
from rtppool_operator.status.memory import CONFIRM_SECONDS, REFUSED_PAUSE_SECONDS, PoolMemory

STATUS: dict[str, Any] = {"observedGeneration": 3, "activeCalls": 1, "conditions": [], "relayCount": 1}


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool()


@pytest.fixture
def memory() -> PoolMemory:
    held = PoolMemory()
    held.record_write(STATUS, {"activeCalls": 1}, 100.0)
    return held


def test_before_the_first_write_the_listed_status_counts(pool: Pool) -> None:
    memory = PoolMemory()
    assert memory.is_due(pool, STATUS, 50.0, 50.0)
    assert not memory.is_due(replace(pool, status=STATUS), STATUS, 50.0, 50.0)


def test_what_came_back_as_it_was_returned_is_not_written_again(pool: Pool, memory: PoolMemory) -> None:
    assert not memory.is_due(replace(pool, status={"activeCalls": 1}), STATUS, 110.0, 110.0)


def test_an_edit_by_others_is_written_over(pool: Pool, memory: PoolMemory) -> None:
    edited = replace(pool, status={"activeCalls": 2})
    assert memory.is_due(edited, STATUS, 110.0, 110.0)
    assert not memory.is_due(edited, STATUS, 100.5, 100.9), "at most once a second"
    assert memory.is_due(replace(pool, status={}), STATUS, 110.0, 110.0), "deleted by hand"


def test_a_look_from_before_the_write_is_no_edit(pool: Pool, memory: PoolMemory) -> None:
    assert not memory.is_due(replace(pool, status={"activeCalls": 0}), STATUS, 99.9, 110.0)


def test_what_changed_by_itself_is_written(pool: Pool, memory: PoolMemory) -> None:
    assert memory.is_due(replace(pool, status={"activeCalls": 1}), {**STATUS, "activeCalls": 2}, 110.0, 110.0)


def test_a_refused_status_waits(pool: Pool, memory: PoolMemory) -> None:
    changed = {**STATUS, "activeCalls": 2}
    memory.refused_at_seconds = 110.0
    assert not memory.is_due(pool, changed, 111.0, 111.0)
    assert memory.is_due(pool, changed, 121.0, 110.0 + REFUSED_PAUSE_SECONDS)


def test_transitions_are_told_from_our_own_conditions(pool: Pool, memory: PoolMemory) -> None:
    ours = [{"type": "Ready", "status": "True"}]
    memory.record_write({**STATUS, "conditions": ours}, {}, 100.0)
    assert memory.conditions(replace(pool, status={"conditions": [{"type": "Ready", "status": "False"}]})) == ours
    assert PoolMemory().conditions(replace(pool, status={"conditions": "spoilt"})) == []


def test_a_change_right_after_a_write_waits_for_its_second_and_no_longer(pool: Pool, memory: PoolMemory) -> None:
    listed, changed = replace(pool, status={"activeCalls": 1}), {**STATUS, "activeCalls": 2}
    assert not memory.is_due(listed, changed, 99.0, 100.4)
    assert memory.paused_until(100.4) == 101.0
    assert memory.paused_until(101.0) is None
    assert memory.is_due(listed, changed, 99.0, 101.0)


def test_a_pool_that_was_never_written_is_not_paused() -> None:
    assert PoolMemory().paused_until(0.0) is None


def pending(generation: int, reason: str = "Pending") -> dict[str, Any]:
    return {**STATUS, "observedGeneration": generation, "conditions": [{"type": "Programmed", "reason": reason}]}


def test_a_status_waits_a_moment_for_relays_that_are_about_to_confirm_an_edit(pool: Pool, memory: PoolMemory) -> None:
    edited = replace(pool, generation=4)
    assert memory.awaits_relays_until(edited, pending(4), 110.0) == 110.0 + CONFIRM_SECONDS
    assert memory.awaits_relays_until(edited, pending(4), 110.5) == 110.0 + CONFIRM_SECONDS
    again = replace(pool, generation=5)
    assert memory.awaits_relays_until(again, pending(5), 110.6) == 110.0 + CONFIRM_SECONDS, "edits in a row add nothing"
    assert memory.awaits_relays_until(again, pending(5), 110.0 + CONFIRM_SECONDS) is None


@pytest.mark.parametrize("reason", ["Programmed", "ConfigRefused", "RelaySilent"])
def test_a_status_that_says_more_than_pending_does_not_wait(pool: Pool, memory: PoolMemory, reason: str) -> None:
    assert memory.awaits_relays_until(replace(pool, generation=4), pending(4, reason), 110.0) is None


def test_relays_that_fall_behind_without_an_edit_are_told_at_once(pool: Pool, memory: PoolMemory) -> None:
    assert memory.awaits_relays_until(pool, pending(3), 110.0) is None
