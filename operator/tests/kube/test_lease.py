"""One operator per cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.lease import (
    DURATION_SECONDS,
    MAX_DURATION_SECONDS,
    MAX_WRITE_SECONDS,
    Leadership,
    Leases,
    LeaseState,
    are_replicas,
)


@pytest.mark.parametrize(
    ("held", "unchanged_seconds", "taken"),
    [
        (LeaseState(), 0, True),
        (LeaseState("", "1"), 0, True),
        (LeaseState("me", "1"), 0, True),
        (LeaseState("other", "1", 15), 14, False),
        (LeaseState("other", "1", 15), 16, True),
        (LeaseState("other", "1", 15), float("inf"), True),
    ],
)
def test_a_lease_is_taken_when_it_is_free_mine_or_over(held: LeaseState, unchanged_seconds: float, taken: bool) -> None:
    assert held.may_be_taken("me", unchanged_seconds) is taken


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("voice/rtp-operator-6d4b-x7k2", True),
        ("voice/rtp-operator-79cf-aaaa", True),
        ("lab/rtp-operator-6d4b-x7k2", False),
        ("voice/other-operator-6d4b-x7k2", False),
        ("voice/operator-6d4b-x7k2", False),
        ("by hand", False),
        ("", False),
    ],
)
def test_operators_of_one_deployment_are_replicas(other: str, same: bool) -> None:
    assert are_replicas(other, "voice/rtp-operator-6d4b-q1w2") is same


class Store(Leases):
    """Leases in memory, with resource versions as the API server keeps them."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    async def lease(self) -> Mapping[str, Any] | None:
        if self.away:
            raise ClusterError("get lease: the API server can't be reached")
        return self.kept

    async def write_lease(self, lease: Mapping[str, Any]) -> bool:
        assert (lease["metadata"]["namespace"], lease["metadata"]["name"]) == ("kube-system", "rtp-pool-operator")
        if lease["metadata"].get("resourceVersion", "0") != str(self.version):
            return False
        self.version += 1
        self.kept = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(self.version)}}
        return True


@pytest.fixture
def clock() -> list[float]:
    return [1_000.0]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def two(store: Store, clock: list[float]) -> tuple[Leadership, Leadership]:
    """Two operators whose wall clocks are a day apart."""
    days = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    one, two = (
        Leadership(store, name, lambda: clock[0], lambda day=day: day)  # type: ignore[misc]
        for name, day in zip(("ns/one", "ns/two"), days, strict=True)
    )
    return one, two


async def test_of_two_operators_one_holds_and_the_other_waits_for_its_end(
    two: tuple[Leadership, Leadership], clock: list[float]
) -> None:
    one, other = two
    assert await one.hold() is None
    assert await other.hold() == "operator ns/one holds the lease"
    clock[0] += 10
    assert await one.hold() is None
    clock[0] += 10
    assert await other.hold() == "operator ns/one holds the lease"
    clock[0] += 14
    assert await other.hold() == "operator ns/one holds the lease", "seen to change 14 s ago"
    clock[0] += 2
    assert await other.hold() is None
    assert await one.hold() == "operator ns/two holds the lease"


async def test_a_holder_is_known_once_it_was_seen_to_renew(two: tuple[Leadership, Leadership]) -> None:
    one, other = two
    assert await one.hold() is None
    assert await other.hold() == "operator ns/one holds the lease"
    assert other.holder == ""
    assert await one.hold() is None
    assert await other.hold() == "operator ns/one holds the lease"
    assert other.holder == "ns/one"


async def test_an_operator_that_could_not_renew_writes_nothing_long_before_another_may(
    two: tuple[Leadership, Leadership], clock: list[float], store: Store
) -> None:
    one, other = two
    assert not one.leads()
    assert await one.hold() is None
    assert one.leads()
    assert await other.hold() == "operator ns/one holds the lease"
    store.away = True
    clock[0] += DURATION_SECONDS - MAX_WRITE_SECONDS - 0.1
    with pytest.raises(ClusterError):
        await one.hold()
    assert one.leads(), "a write that begins now ends before the lease does"
    clock[0] += 0.2
    assert not one.leads()
    store.away = False
    assert await one.hold() is None
    assert one.leads()


async def test_an_operator_that_sees_another_hold_the_lease_leads_no_more(
    two: tuple[Leadership, Leadership], store: Store
) -> None:
    one, other = two
    assert await one.hold() is None
    assert store.kept is not None
    store.kept["spec"]["holderIdentity"] = ""
    assert await other.hold() is None
    assert await one.hold() == "operator ns/two holds the lease"
    assert not one.leads()


async def test_a_lease_that_was_given_up_is_taken_at_once(two: tuple[Leadership, Leadership], store: Store) -> None:
    one, other = two
    assert await one.hold() is None
    await one.release()
    assert not one.leads()
    assert await other.hold() is None
    await one.release()
    assert store.kept is not None
    assert store.kept["spec"]["holderIdentity"] == "ns/two", "what is another's is not given up"


async def test_an_operator_notices_that_another_one_has_held_and_released_the_lease_while_it_was_away(
    two: tuple[Leadership, Leadership], clock: list[float]
) -> None:
    one, other = two
    assert await one.hold() is None
    assert await other.hold() == "operator ns/one holds the lease"
    clock[0] += DURATION_SECONDS + 1
    assert await other.hold() is None
    assert other.follows_another, "another one led before it"
    await other.release()
    assert await one.hold() is None
    assert one.follows_another
    assert await one.hold() is None
    assert not one.follows_another


async def test_a_promise_of_a_year_is_not_waited_for(
    two: tuple[Leadership, Leadership], clock: list[float], store: Store
) -> None:
    one, other = two
    assert await one.hold() is None
    assert store.kept is not None
    store.kept["spec"]["leaseDurationSeconds"] = 31_536_000
    assert await other.hold() == "operator ns/one holds the lease"
    clock[0] += MAX_DURATION_SECONDS + 1
    assert await other.hold() is None


def renews_after_the_next_read(leadership: Leadership, store: Store) -> None:
    """Have an operator take or renew the Lease between the next read of it and the write that follows."""
    read = store.lease

    async def read_and_renew() -> Mapping[str, Any] | None:
        lease = await read()
        store.lease = read  # type: ignore[method-assign]
        assert await leadership.hold() is None
        return lease

    store.lease = read_and_renew  # type: ignore[method-assign]


async def test_an_operator_whose_write_comes_too_late_does_not_lead_and_says_why(
    two: tuple[Leadership, Leadership], store: Store
) -> None:
    one, other = two
    assert await one.hold() is None
    await one.release()
    renews_after_the_next_read(one, store)
    assert await other.hold() == "the lease changed before this operator could take it"
    assert not other.leads()
    assert one.leads()


async def test_a_lease_is_given_up_although_a_cancelled_renewal_arrives_in_between(
    two: tuple[Leadership, Leadership], store: Store
) -> None:
    one, other = two
    assert await one.hold() is None
    renews_after_the_next_read(one, store)
    await one.release()
    assert await other.hold() is None
