"""Of the relays on a node one serves, and the next one of a rollout stands by."""

from __future__ import annotations

from dataclasses import replace

from rtppool_operator.pools.spec import RelayPod, serving_relays

FORMER = RelayPod("relay-z", "uid-z", "a", "192.0.2.1", 9090, created="2026-01-01T00:00:00Z")
NEXT = RelayPod("relay-b", "uid-b", "a", "192.0.2.1", 9090, created="2026-01-01T08:00:00Z")
ELSEWHERE = RelayPod("relay-c", "uid-c", "c", "192.0.2.3", 9090, created="2026-01-01T09:00:00Z")


def test_a_relay_that_stands_by_is_left_out() -> None:
    assert serving_relays([NEXT, FORMER, ELSEWHERE]) == (ELSEWHERE, FORMER)


def test_the_next_relay_serves_once_the_former_one_ends() -> None:
    ending = replace(FORMER, terminating=True)
    assert serving_relays([NEXT, ending]) == (NEXT, ending)


def test_several_relays_that_end_stay() -> None:
    ending = tuple(replace(each, terminating=True) for each in (NEXT, FORMER))
    assert serving_relays(ending) == ending


def test_no_relays_are_none() -> None:
    assert serving_relays([]) == ()
