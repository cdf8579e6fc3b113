"""The owner of each node, and the text of `pools.json`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rtppool_core.contract.pools_file import EchoTarget, decode_for_node
from rtppool_operator.pools.desired import claim_nodes, desired_state, pods_to_refresh
from rtppool_operator.pools.spec import ClusterView, Node, Pool, RelayPod
from rtppool_operator.pools.trust import TrustPolicy

MakePool = Callable[..., Pool]
POLICY = TrustPolicy("voice")
MakeRelay = Callable[..., RelayPod]
NODES = {
    "a": Node("a", {"zone": "1"}),
    "b": Node("b", {"zone": "2"}, "198.51.100.2"),
    "c": Node("c", {"zone": "2"}),
}


@pytest.fixture
def view(make_relay: MakeRelay) -> Callable[..., ClusterView]:
    def make(*pools: Pool, written: str | None = None) -> ClusterView:
        return ClusterView(pools, tuple(make_relay(name) for name in NODES), NODES, written)

    return make


def test_a_pool_without_a_selector_has_every_relay_s_node(
    view: Callable[..., ClusterView], make_pool: MakePool
) -> None:
    desired = desired_state(view(make_pool()), POLICY)
    for name in NODES:
        entry = decode_for_node(desired.text, name)
        assert entry is not None
        assert (entry.uid, entry.generation) == ("uid-default", 3)


def test_a_selector_beats_an_empty_one_and_the_rest_stays(
    view: Callable[..., ClusterView], make_pool: MakePool
) -> None:
    everywhere, zone = make_pool("all"), make_pool("zone", "2026-02-01T00:00:00Z", nodeSelector={"zone": "2"})
    desired = desired_state(view(everywhere, zone), POLICY)
    assert desired.claims["uid-zone"].owned == ("b", "c")
    assert desired.claims["uid-all"].owned == ("a",)
    assert desired.claims["uid-all"].lost == (("b", "voice/zone"), ("c", "voice/zone"))


def test_of_two_alike_the_older_has_the_nodes(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    older, newer = make_pool("z", "2026-01-01T00:00:00Z"), make_pool("a", "2026-01-02T00:00:00Z")
    claims = desired_state(view(newer, older), POLICY).claims
    assert claims["uid-z"].owned == ("a", "b", "c")
    assert claims["uid-a"].owned == ()


def test_of_two_as_old_the_first_by_name_has_the_nodes(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    claims = desired_state(view(make_pool("b"), make_pool("a")), POLICY).claims
    assert claims["uid-a"].owned == ("a", "b", "c")


def test_the_loser_has_them_when_the_winner_goes(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    loser = make_pool("b")
    assert desired_state(view(make_pool("a"), loser), POLICY).claims["uid-b"].owned == ()
    assert desired_state(view(loser), POLICY).claims["uid-b"].owned == ("a", "b", "c")


def test_a_node_without_an_external_address_is_left_out(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    claim = desired_state(view(make_pool(advertise={"source": "NodeExternalIP"})), POLICY).claims["uid-default"]
    assert claim.owned == ("b",)
    assert [node for node, _ in claim.unserved] == ["a", "c"]


def test_the_advertised_address_follows_its_source(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    def advertised(**advertise: str) -> str | None:
        entry = decode_for_node(desired_state(view(make_pool(advertise=advertise)), POLICY).text, "b")
        assert entry is not None
        node = entry.node("b")
        assert node is not None
        return node.advertise_address

    assert advertised(source="HostIP") is None
    assert advertised(source="NodeExternalIP") == "198.51.100.2"
    assert advertised(source="Static", address="203.0.113.9") == "203.0.113.9"


def test_a_paused_pool_keeps_what_was_written(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    first = desired_state(view(make_pool()), POLICY).text
    paused = replace(make_pool(paused=True, portRange={"start": 20000, "end": 20100}), generation=4)
    entry = decode_for_node(desired_state(view(paused, written=first), POLICY).text, "a")
    assert entry is not None
    assert (str(entry.port_range), entry.generation) == ("10000-10100", 3)


def test_a_pool_that_can_not_be_read_keeps_what_was_written(
    view: Callable[..., ClusterView], make_pool: MakePool
) -> None:
    first = desired_state(view(make_pool()), POLICY).text
    broken = make_pool(portRange={"start": 5, "end": 1})
    assert decode_for_node(desired_state(view(broken, written=first), POLICY).text, "a") is not None


def test_an_entry_that_can_not_be_made_stops_no_other_pool(
    view: Callable[..., ClusterView], make_pool: MakePool
) -> None:
    zone, rest = make_pool("zone", nodeSelector={"zone": "1"}), make_pool("rest")
    first = desired_state(view(zone, rest), POLICY)
    assert zone.spec is not None
    circling = replace(zone, generation=4, spec=structs.replace(zone.spec, echo=EchoTarget(port=10000)))
    desired = desired_state(view(circling, replace(rest, generation=4)), POLICY, first)
    assert [desired.entries[node].generation for node in "abc"] == [3, 4, 4]


def test_a_deleted_pool_leaves_no_entry(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    first = desired_state(view(make_pool()), POLICY).text
    assert decode_for_node(desired_state(view(written=first), POLICY).text, "a") is None


@pytest.mark.parametrize("written", ["", "not json", "[]", '{"pools": 3}', '{"pools": [{"uid": 1}, null]}'])
def test_a_configuration_that_somebody_spoilt_is_written_anew(
    view: Callable[..., ClusterView], make_pool: MakePool, written: str
) -> None:
    paused = make_pool("paused", paused=True)
    text = desired_state(view(make_pool(), paused, written=written), POLICY).text
    assert decode_for_node(text, "a") is not None


def test_the_same_objects_in_another_order_give_the_same_bytes(
    view: Callable[..., ClusterView], make_pool: MakePool
) -> None:
    pools = (make_pool("a", nodeSelector={"zone": "1"}), make_pool("b"))
    assert desired_state(view(*pools), POLICY).text == desired_state(view(*reversed(pools)), POLICY).text


def test_only_pods_with_another_revision_are_refreshed(
    view: Callable[..., ClusterView], make_pool: MakePool, make_relay: MakeRelay
) -> None:
    desired = desired_state(view(make_pool()), POLICY)
    current = desired.revision_of("b")
    relays = [make_relay("a", "1"), make_relay("b", current), make_relay("b", f"{current}.3"), make_relay("c")]
    assert [relay.node for relay in pods_to_refresh(relays, desired)] == ["a", "c"]


def test_a_pod_that_is_being_deleted_is_not_refreshed(
    view: Callable[..., ClusterView], make_pool: MakePool, make_relay: MakeRelay
) -> None:
    assert pods_to_refresh([replace(make_relay("a"), terminating=True)], desired_state(view(make_pool()), POLICY)) == []


def test_an_edit_changes_the_revision_of_its_own_nodes_alone(
    view: Callable[..., ClusterView], make_pool: MakePool
) -> None:
    everywhere, zone = make_pool("all"), make_pool("zone", nodeSelector={"zone": "1"})
    before = desired_state(view(everywhere, zone), POLICY)
    after = desired_state(view(everywhere, replace(zone, generation=4)), POLICY)
    changed = [name for name in NODES if before.revision_of(name) != after.revision_of(name)]
    assert changed == ["a"]
    assert before.revision != after.revision


def test_a_node_s_revision_follows_its_own_address(view: Callable[..., ClusterView], make_pool: MakePool) -> None:
    pool = make_pool(advertise={"source": "NodeExternalIP"})
    before = view(pool)
    moved = replace(before, nodes={**NODES, "b": Node("b", {"zone": "2"}, "198.51.100.3")})
    first, second = desired_state(before, POLICY), desired_state(moved, POLICY)
    assert first.revision_of("b") != second.revision_of("b")
    assert first.revision_of("a") == second.revision_of("a"), "without an address it has no entry"


zones = st.sampled_from([{}, {"zone": "1"}, {"zone": "2"}, {"zone": "3"}])


@given(st.lists(st.tuples(zones, st.integers(1, 3)), max_size=6), st.randoms())
def test_every_node_has_at_most_one_pool_whatever_the_order(
    make_pool: MakePool, wanted: list[tuple[dict[str, str], int]], chance: Random
) -> None:
    pools = [
        make_pool(f"p{at}", f"2026-01-0{day}T00:00:00Z", nodeSelector=selector)
        for at, (selector, day) in enumerate(wanted)
    ]
    first = {claim.pool.uid: claim for claim in claim_nodes(pools, NODES, set(NODES), {}, POLICY)}
    owned = [name for claim in first.values() for name in claim.owned]
    assert len(owned) == len(set(owned))
    chance.shuffle(pools)
    assert {claim.pool.uid: claim for claim in claim_nodes(pools, NODES, set(NODES), {}, POLICY)} == first
