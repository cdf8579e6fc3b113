from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.port_range import PortRange
from rtppool_relay.ports.port_manager import MAX_MAPPED_PORTS, PortManager, PortsExhausted


def manager(size: int = 3, rest: float = 5.0, excluded: frozenset[int] = frozenset()) -> PortManager:
    return PortManager(PortRange(10000, 10000 + size - 1), excluded, rest)


def test_ports_are_leased_from_the_first_on_and_never_twice() -> None:
    ports = manager()
    assert [ports.lease(0), ports.lease(0), ports.lease(0)] == [10000, 10001, 10002]
    with pytest.raises(PortsExhausted, match="all 3 ports of 10000-10002"):
        ports.lease(0)


def test_the_default_range_gives_exactly_101_leases() -> None:
    ports = PortManager(PortRange(10000, 10100))
    assert len({ports.lease(0) for _ in range(101)}) == 101
    with pytest.raises(PortsExhausted):
        ports.lease(0)


def test_a_released_port_rests_and_then_is_last_in_line() -> None:
    ports = manager()
    ports.release(ports.lease(0), now_seconds=1)
    assert ports.report().resting == 1
    assert [ports.lease(6.1) for _ in range(3)] == [10001, 10002, 10000]


def test_a_port_that_asterisk_never_learned_does_not_rest_and_is_last_in_line() -> None:
    ports = manager()
    assert ports.lend_to_probe() == 10002
    ports.release(ports.lease(0), now_seconds=1, rests=False)
    assert (ports.report().free, ports.report().resting) == (3, 0)
    assert [ports.lease(1) for _ in range(3)] == [10001, 10000, 10002]


def test_with_nothing_free_the_longest_rested_port_is_reused_early_and_counted() -> None:
    ports = manager(1)
    ports.release(ports.lease(0), now_seconds=0)
    with pytest.raises(PortsExhausted):
        ports.lease(1.9)
    assert ports.lease(2.0) == 10000
    assert ports.report().reused_early == 1


def test_a_held_port_goes_to_no_new_call_and_to_the_call_that_is_on_it() -> None:
    ports = manager()
    ports.hold(frozenset({10000, 10001, 20000}))
    assert ports.lease(0.0) == 10002
    with pytest.raises(PortsExhausted):
        ports.lease(0.0)
    assert ports.lease_exactly(10000)
    ports.hold(frozenset())
    assert ports.lease(0.0) == 10001


def test_a_held_port_that_rests_or_is_the_probe_s_is_not_leased() -> None:
    ports = manager(size=2)
    assert (ports.lease(0.0), ports.lend_to_probe()) == (10000, 10001)
    ports.release(10000, 0.0)
    ports.hold(frozenset({10000, 10001}))
    with pytest.raises(PortsExhausted):
        ports.lease(3.0)
    ports.hold(frozenset({10001}))
    assert ports.lease(3.0) == 10000


def test_releasing_twice_or_a_stranger_changes_nothing() -> None:
    ports = manager()
    port = ports.lease(0)
    ports.release(port, 0)
    ports.release(port, 0)
    ports.release(9999, 0)
    assert (ports.report().resting, ports.report().free) == (1, 2)


def test_a_quarantined_port_is_not_leased_until_it_is_restored() -> None:
    ports = manager(2)
    ports.quarantine(10000, "held by somebody")
    assert ports.lease(0) == 10001
    with pytest.raises(PortsExhausted):
        ports.lease(0)
    assert ports.report().quarantine[0].reason == "held by somebody"
    ports.restore(10000)
    assert ports.lease(0) == 10000


def test_excluded_ports_are_neither_leased_nor_in_total() -> None:
    ports = manager(3, excluded=frozenset({10001}))
    assert [ports.lease(0), ports.lease(0)] == [10000, 10002]
    assert (ports.report().total, ports.report().excluded) == (2, 1)


def test_the_probes_port_counts_as_free_and_is_leased_last() -> None:
    ports = manager()
    assert ports.lend_to_probe() == 10002
    assert ports.report().free == 3
    assert [ports.lease(0), ports.lease(0)] == [10000, 10001]
    assert ports.probe_port == 10002
    assert ports.lease(0) == 10002
    assert ports.probe_port is None


def test_a_resting_port_is_preferred_to_the_probes_when_it_has_rested_enough() -> None:
    ports = manager(2)
    ports.lend_to_probe()
    ports.release(ports.lease(0), 0)
    assert ports.lease(10) == 10000


def test_a_resize_keeps_leases_outside_as_draining_and_gives_them_back_to_nobody() -> None:
    ports = manager()
    old = ports.lease(0)
    ports.resize(PortRange(20000, 20001), frozenset(), 5)
    report = ports.report()
    assert (report.draining, report.total, report.free, report.leased) == (1, 2, 2, 0)
    ports.release(old, 0)
    assert ports.report().draining == 0
    assert ports.report().resting == 0


def test_a_resize_to_a_wider_range_keeps_live_leases_inside() -> None:
    ports = manager()
    held = ports.lease(0)
    ports.resize(PortRange(10000, 10009), frozenset(), 5)
    assert ports.report().leased == 1
    assert held not in {ports.lease(0) for _ in range(9)}


def test_a_port_of_a_call_that_already_runs_can_be_leased_by_number_once() -> None:
    ports = manager()
    assert ports.lease_exactly(10001)
    assert not ports.lease_exactly(10001)
    assert ports.lease_exactly(20000)
    assert [ports.lease(0), ports.lease(0)] == [10000, 10002]


actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["lease", "release", "quarantine", "set_aside", "restore", "probe", "end_probe", "exactly", "resize"]
        ),
        st.integers(0, 9),
        st.floats(0, 10),
    ),
    max_size=60,
)


@given(actions)
def test_the_counts_always_add_up_and_no_port_is_held_twice(steps: list[tuple[str, int, float]]) -> None:
    ports = manager(6, rest=3, excluded=frozenset({10004}))
    held: set[int] = set()
    now = 0.0
    for action, number, pause in steps:
        now += pause
        port = 10000 + number
        if action == "lease":
            try:
                leased = ports.lease(now)
            except PortsExhausted:
                pass
            else:
                assert leased not in held
                held.add(leased)
        elif action == "exactly" and ports.lease_exactly(port):
            assert port not in held
            held.add(port)
        elif action == "release":
            ports.release(port, now)
            held.discard(port)
        elif action == "quarantine":
            assert ports.quarantine(port, "test") == (port not in held)
        elif action == "set_aside" and port in held:
            ports.release(port, now)
            assert ports.quarantine(port, "test")
            held.discard(port)
        elif action == "restore":
            ports.restore(port)
        elif action == "probe":
            ports.lend_to_probe()
        elif action == "end_probe":
            ports.end_probe()
        elif action == "resize":
            ports.resize(PortRange(10000 + number % 3, 10005 + number), frozenset({10004}), 3)
        report = ports.report()
        assert report.total == report.free + report.leased + report.resting + report.quarantined
        assert report.leased + report.draining == len(held)
        assert report.draining == sum(port not in ports.range or port == 10004 for port in held)
        assert ports.leased().keys() == held
        assert all(ports.is_leased(port) for port in held)


@given(st.sets(st.integers(10000, 10005)), st.lists(st.integers(9998, 10008)))
def test_quarantining_never_takes_a_lease(leased: set[int], tried: list[int]) -> None:
    ports = manager(6)
    for port in leased:
        assert ports.lease_exactly(port)
    for port in tried:
        ports.quarantine(port, "held by somebody")
    assert ports.leased().keys() == leased
    for port in leased:
        ports.release(port, 0)
    assert ports.report().resting == len(leased)


def test_a_port_that_is_leased_again_has_another_number() -> None:
    ports = manager(1)
    first = ports.leased() if ports.lease_exactly(10000) else {}
    ports.release(10000, 0)
    assert ports.lease_exactly(10000)
    assert ports.leased().keys() == first.keys()
    assert ports.leased() != first


def test_a_lost_lease_counts_as_leaked_and_one_that_was_given_back_meanwhile_does_not() -> None:
    ports = manager(1)
    port = ports.lease(0)
    number = ports.leased()[port]
    assert ports.take_back(port, number)
    ports.release(port, 0)
    assert (ports.report().leaked, ports.report().resting, ports.report().leased) == (1, 1, 0)
    assert not ports.take_back(port, number)
    assert ports.lease(10) == port
    assert not ports.take_back(port, number)
    assert ports.report().leaked == 1


def test_the_map_has_each_port_of_the_range_in_order_and_draining_ports_beside_it() -> None:
    ports = manager(6, excluded=frozenset({10005}))
    leased = [ports.lease(0) for _ in range(3)]
    ports.release(leased[0], now_seconds=1)
    ports.quarantine(10003, "port 10003 can't be bound")
    assert ports.map() == [("resting", 1), ("leased", 2), ("quarantined", 1), ("free", 1), ("excluded", 1)]
    ports.resize(PortRange(10002, 10004), frozenset({10002}), 5.0)
    assert ports.map() == [("draining", 1), ("quarantined", 1), ("free", 1)]
    assert ports.draining() == [10001, 10002]


def test_a_range_that_is_too_wide_to_draw_has_no_map() -> None:
    assert manager(MAX_MAPPED_PORTS + 1).map() is None
