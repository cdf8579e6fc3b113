from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.ports.leak_suspects import MIN_SUSPECTED_SECONDS, LeakSuspects


def test_what_is_seen_for_the_first_time_is_no_leak_however_late() -> None:
    assert LeakSuspects[int]().observe(1e9, [1]) == ()


def test_what_is_nobodys_in_two_looks_is_leaked_and_told_once() -> None:
    suspects = LeakSuspects[int]()
    suspects.observe(0, [1, 2])
    assert suspects.observe(10, [1, 3]) == (1,)
    assert suspects.observe(11, [1, 3]) == ()


def test_two_looks_in_a_moment_are_not_enough() -> None:
    suspects = LeakSuspects[int]()
    suspects.observe(0, [1])
    assert suspects.observe(0.1, [1]) == ()
    assert suspects.observe(MIN_SUSPECTED_SECONDS, [1]) == (1,)


def test_what_somebody_had_in_between_starts_anew() -> None:
    suspects = LeakSuspects[int]()
    suspects.observe(0, [1])
    suspects.observe(4, [])
    assert suspects.observe(8, [1]) == ()


@given(st.lists(st.tuples(st.floats(0, 6), st.sets(st.integers(0, 3))), max_size=30))
def test_a_leak_was_nobodys_in_every_look_of_five_seconds(looks: list[tuple[float, set[int]]]) -> None:
    suspects, now = LeakSuspects[int](), 0.0
    seen: list[tuple[float, set[int]]] = []
    for pause, nobodys in looks:
        now += pause
        for leaked in suspects.observe(now, sorted(nobodys)):
            since = next(
                at for at, (_, free) in reversed(list(enumerate(seen))) if at == 0 or leaked not in seen[at - 1][1]
            )
            assert all(leaked in free for _, free in seen[since:])
            assert now - seen[since][0] >= MIN_SUSPECTED_SECONDS
        seen.append((now, nobodys))
