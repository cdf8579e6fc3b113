"""The pools that a round computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool, RelayPod
from rtppool_operator.status.memory import NOT_HELD, DuePools
from rtppool_operator.status.write_policy import FIGURES_PAUSE_SECONDS, MIN_PAUSE_SECONDS


@pytest.fixture
def claims(make_pool: Callable[..., Pool]) -> list[Claim]:
    """Two pools: one of nodes a and b, one of node c."""
    return [Claim(make_pool("ab"), ("a", "b")), Claim(make_pool("c"), ("c",))]


class Rounds:
    """Rounds over the same claims."""

    def __init__(self, claims: list[Claim]) -> None:
        self.claims = claims
        self.due = DuePools()

    def names(self, now: float, news: str = "", figures: str = "", unheard: str = "") -> list[str]:
        """Return the names of the pools due with these nodes."""
        selected = self.due.select(self.claims, set(news), set(figures), set(unheard), now)
        return [claim.pool.name for claim in selected]


@pytest.fixture
def rounds(claims: list[Claim]) -> Rounds:
    return Rounds(claims)


def test_each_pool_is_computed_once_and_then_with_news_alone(rounds: Rounds) -> None:
    assert rounds.names(100) == ["ab", "c"]
    assert rounds.names(102) == []
    assert rounds.names(104, news="b") == ["ab"]
    assert rounds.names(106) == []


def test_an_edit_and_another_clients_status_are_news_and_an_own_status_is_none(rounds: Rounds) -> None:
    rounds.names(100)
    first, second = rounds.claims
    rounds.claims[0] = replace(first, pool=replace(first.pool, generation=4))
    assert rounds.names(102) == ["ab"]
    written = {"activeCalls": 1}
    rounds.due.memories["uid-c"].record_write(written, written, 102.0)
    rounds.claims[1] = replace(second, pool=replace(second.pool, status=written))
    assert rounds.names(104) == []
    rounds.claims[1] = replace(second, pool=replace(second.pool, status={"activeCalls": 2}))
    assert rounds.names(106) == ["c"]


def test_a_pool_of_a_node_that_was_not_heard_waits_for_it(rounds: Rounds) -> None:
    assert rounds.names(100, unheard="b") == ["c"]
    assert rounds.names(102, unheard="b", figures="a") == []
    assert rounds.due.held_until_seconds() == NOT_HELD, "a hold in the past would start rounds without end"
    assert rounds.names(104) == ["ab"]


def test_figures_alone_are_computed_fifteen_seconds_after_the_last_time(rounds: Rounds) -> None:
    rounds.names(100)
    assert rounds.names(104, figures="ac") == []
    assert rounds.due.held_until_seconds() == 100 + FIGURES_PAUSE_SECONDS
    assert rounds.names(110, news="c") == ["c"]
    assert rounds.names(115) == ["ab"]
    assert rounds.due.held_until_seconds() == NOT_HELD


def test_news_in_the_second_after_a_write_wait_for_its_end_and_are_not_lost(rounds: Rounds) -> None:
    rounds.names(100)
    rounds.due.memories["uid-ab"].record_write({}, {}, 100.0)
    assert rounds.names(100.5, news="a") == []
    assert rounds.due.held_until_seconds() == 100 + MIN_PAUSE_SECONDS
    assert rounds.names(101.0) == ["ab"]


def test_a_hold_computes_a_pool_whatever_happens(rounds: Rounds) -> None:
    rounds.names(100)
    rounds.due.memories["uid-c"].held_until_seconds = 102.0
    assert rounds.names(101.9) == []
    assert rounds.names(102.0) == ["c"]
    assert rounds.names(104.0) == []


def test_a_deleted_pool_holds_nothing(rounds: Rounds) -> None:
    rounds.names(100)
    rounds.due.memories["uid-c"].held_until_seconds = 102.0
    rounds.due.keep_only({"uid-ab"})
    assert rounds.due.held_until_seconds() == NOT_HELD


def test_relays_that_come_go_change_or_fall_silent_are_news_of_their_nodes(
    make_relay: Callable[..., RelayPod],
) -> None:
    due = DuePools()
    a, b, c = (make_relay(node) for node in "abc")
    assert due.nodes_with_news((a, b), set(), set()) == {"a", "b"}
    assert due.nodes_with_news((a, b), set(), set()) == set()
    assert due.nodes_with_news((a, b), {b.uid}, set()) == {"b"}
    assert due.nodes_with_news((a, b, c), set(), set()) == {"c"}
    assert due.nodes_with_news((replace(a, terminating=True), b), set(), set()) == {"a", "c"}
    assert due.nodes_with_news((a, b), set(), {b.uid}) == {"a", "b"}
    assert due.nodes_with_news((a, b), set(), {b.uid}) == set()
    assert due.nodes_with_news((a, b), set(), set()) == {"b"}, "it is heard again"
