"""Log lines about pools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rtppool_operator.pools.desired import Desired, desired_state
from rtppool_operator.pools.spec import ClusterView, Node, Pool, RelayPod
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.status.log_lines import condition_change_lines, pool_change_lines

MakePool = Callable[..., Pool]
POLICY = TrustPolicy("voice")
NODES = {"a": Node("a", {"zone": "1"}), "b": Node("b", {"zone": "2"})}


@pytest.fixture
def state(make_relay: Callable[..., RelayPod]) -> Callable[..., Desired]:
    def make(*pools: Pool) -> Desired:
        return desired_state(ClusterView(pools, tuple(make_relay(node) for node in NODES), NODES, None), POLICY)

    return make


def test_a_pool_is_seen_edited_and_removed_with_its_generation(
    state: Callable[..., Desired], make_pool: MakePool
) -> None:
    pool = make_pool()
    first, edited = state(pool), state(replace(pool, generation=4))
    assert list(pool_change_lines(None, first)) == [
        ("pool seen", {"pool": "voice/default", "generation": 3, "nodes": 2})
    ]
    assert list(pool_change_lines(first, first)) == []
    assert list(pool_change_lines(first, edited)) == [
        ("pool edited", {"pool": "voice/default", "generation": 4, "nodes": 2})
    ]
    assert ("pool removed", {"pool": "voice/default", "generation": 4}) in list(pool_change_lines(edited, state()))


def test_a_node_that_changes_hands_is_told_with_both_pools(state: Callable[..., Desired], make_pool: MakePool) -> None:
    everywhere, zone = make_pool("all"), make_pool("zone", nodeSelector={"zone": "2"})
    lines = list(pool_change_lines(state(everywhere), state(everywhere, zone)))
    handed = {"pool": "voice/zone", "generation": 3, "node": "b", "from": "voice/all"}
    assert ("node handed over", handed) in lines
    lines = list(pool_change_lines(state(zone), state()))
    assert ("node handed over", {"pool": "none", "generation": 3, "node": "b", "from": "voice/zone"}) in lines


def test_only_a_condition_that_flips_is_told(make_pool: MakePool) -> None:
    def condition(kind: str, status: str) -> dict[str, str]:
        return {"type": kind, "status": status, "reason": "R", "message": "a sentence"}

    before = [condition("Ready", "False"), condition("SLAMet", "True")]
    now = [condition("Ready", "True"), condition("SLAMet", "True")]
    told = {"condition": "Ready", "status": "True", "reason": "R", "because": "a sentence"}
    assert list(condition_change_lines(make_pool(), before, now)) == [
        ("condition changed", {"pool": "voice/default", "generation": 3, **told})
    ]
