from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.pools_file import DEFAULT_TIERS, SlaTier
from rtppool_core.contract.port_range import PortRange
from rtppool_relay.figures.capacity import Capacity, compute_capacity, find_unreachable_tiers

RANGE = PortRange(10000, 10100)


@pytest.mark.parametrize(
    ("excluded", "max_calls", "calls", "reason"),
    [
        ((), None, 101, "the range 10000-10100 has 101 ports"),
        ((10000, 10001, 10001), None, 99, "the range 10000-10100 has 101 ports, 2 of them excluded"),
        ((20000,), None, 101, "the range 10000-10100 has 101 ports"),
        ((), 50, 50, "maxCalls is 50"),
        ((), 101, 101, "the range 10000-10100 has 101 ports"),
        ((10000,), 101, 100, "the range 10000-10100 has 101 ports, 1 of them excluded"),
    ],
)
def test_the_lower_of_ports_and_the_limit_on_calls_is_the_capacity(
    excluded: tuple[int, ...], max_calls: int | None, calls: int, reason: str
) -> None:
    assert compute_capacity(RANGE, excluded, max_calls) == Capacity(calls, reason)


@pytest.mark.parametrize(
    ("port_range", "max_calls", "sentences"),
    [
        (
            RANGE,
            None,
            [
                (
                    "150 calls can't be reached, because the range 10000-10100 has 101 ports. "
                    "This tier holds at 101 calls only."
                ),
            ],
        ),
        (
            RANGE,
            50,
            [
                "100 calls can't be reached, because maxCalls is 50. This tier holds from 31 to 50 calls.",
                "150 calls can't be reached, because maxCalls is 50. This tier never holds.",
            ],
        ),
        (PortRange(10000, 10149), None, []),
        (
            PortRange(10000, 10000),
            None,
            [
                "30 calls can't be reached, because the range 10000-10000 has 1 port. This tier holds at 1 call only.",
                "100 calls can't be reached, because the range 10000-10000 has 1 port. This tier never holds.",
                "150 calls can't be reached, because the range 10000-10000 has 1 port. This tier never holds.",
            ],
        ),
    ],
)
def test_a_tier_out_of_reach_is_named_with_the_reason(
    port_range: PortRange, max_calls: int | None, sentences: list[str]
) -> None:
    named = find_unreachable_tiers(DEFAULT_TIERS, compute_capacity(port_range, (), max_calls))
    assert [tier.reason for tier in named] == sentences


@given(st.lists(st.integers(1, 300), unique=True, max_size=8), st.integers(1, 300))
def test_exactly_the_tiers_above_the_capacity_are_named(bounds: list[int], calls: int) -> None:
    tiers = [SlaTier(bound, 1, 1, 1) for bound in bounds]
    named = find_unreachable_tiers(tiers, Capacity(calls, "x"))
    assert [tier.up_to_calls for tier in named] == sorted(bound for bound in bounds if bound > calls)
    # At most one of them holds for some calls: the lowest.
    assert all(tier.reason.endswith("This tier never holds.") for tier in named[1:])
