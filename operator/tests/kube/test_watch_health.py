"""A dead watch against a quiet cluster."""

from __future__ import annotations

from collections import deque
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from rtppool_operator.kube.watch_health import DEAD_AFTER_SECONDS, WatchHealth


def test_a_quiet_cluster_has_an_old_watch_that_is_not_behind() -> None:
    health = WatchHealth()
    assert health.age_seconds(0.0) is None
    health.record_event("u", "1", 0.0)
    for now in range(2, 2_000, 2):
        health.record_list({"u": "1"}, now - 0.1, now)
    assert health.age_seconds(2_000.0) == 2_000
    assert health.behind_seconds(2_000.0) == 0
    assert health.problem(2_000.0) is None


def test_what_lists_show_and_the_watch_does_not_bring_counts_from_the_first_list() -> None:
    health = WatchHealth()
    health.record_event("u", "1", 0.0)
    for now in range(10, 100, 2):
        health.record_list({"u": str(now)}, now - 0.1, now)
    assert health.behind_seconds(100.0) == 90
    assert health.problem(10 + DEAD_AFTER_SECONDS) is None
    assert "141 s" in (health.problem(10 + DEAD_AFTER_SECONDS + 1) or "")
    health.record_event("u", "98", 101.0)
    assert health.behind_seconds(101.0) == 0


def test_a_watch_that_never_brought_anything_is_behind_only_where_there_are_pools() -> None:
    health = WatchHealth()
    health.record_list({}, 0.0, 0.0)
    assert health.behind_seconds(1_000.0) == 0
    health.record_list({"u": "1"}, 1.0, 1.0)
    assert health.behind_seconds(1_000.0) == 999


def test_a_list_that_is_older_than_the_watch_owes_nothing_for_long() -> None:
    health = WatchHealth()
    health.record_event("u", "2", 10.0)
    health.record_list({"u": "1"}, 9.9, 10.1)
    health.record_list({"u": "2"}, 11.9, 12.0)
    assert health.behind_seconds(12.0) == 0


def test_a_pool_that_the_list_does_not_have_yet_is_not_forgotten() -> None:
    health = WatchHealth()
    health.record_event("new", "5", 10.0)
    health.record_list({}, 9.9, 10.1)
    health.record_list({"new": "5"}, 11.9, 12.0)
    assert health.behind_seconds(12.0) == 0


def test_a_pool_that_is_gone_owes_nothing() -> None:
    health = WatchHealth()
    health.record_list({"u": "1"}, 0.0, 0.0)
    health.record_list({}, 2.0, 2.0)
    assert health.behind_seconds(100.0) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=60), st.randoms())
def test_a_watch_that_is_two_seconds_late_is_never_long_behind(edits: list[tuple[str, int]], chance: Random) -> None:
    """Versions grow. The watch delivers each edit within two seconds, and may skip all but the last."""
    health, now = WatchHealth(), 0.0
    standing: dict[str, str] = {}
    owed: deque[tuple[float, str, str | None]] = deque()
    for version, (uid, pause) in enumerate(edits):
        now += pause
        if uid in standing and chance.random() < 0.2:
            del standing[uid]
            owed.append((now + chance.random() * 2, uid, None))
        else:
            standing[uid] = str(version)
            owed.append((now + chance.random() * 2, uid, str(version)))
        began = now
        while owed and owed[0][0] <= now:
            at, which, what = owed.popleft()
            health.record_event(which, what, at)
        health.record_list(dict(standing), began, now)
        assert health.behind_seconds(now) <= 2 + 3 * 2
