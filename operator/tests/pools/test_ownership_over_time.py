"""Owners of nodes over several rounds: nodes and pods come and go, labels change, pools freeze."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rtppool_core.contract.pools_file import decode_for_node
from rtppool_operator.pools.desired import Desired, desired_state
from rtppool_operator.pools.spec import ClusterView, Node, Pool, RelayPod
from rtppool_operator.pools.trust import TrustPolicy

MakePool = Callable[..., Pool]
ONE, TWO = {"zone": "1"}, {"zone": "2"}


@dataclass
class Cluster:
    """A cluster in memory. Each read writes the desired state, as the operator does."""

    nodes: dict[str, Mapping[str, str]]
    relays: dict[str, bool]
    pools: list[Pool]
    written: str | None = None
    policy: TrustPolicy = field(default_factory=lambda: TrustPolicy("voice"))
    last: Desired | None = None

    def read_view(self) -> dict[str, str]:
        """Return the pool of each node that has an entry."""
        view = ClusterView(
            tuple(self.pools),
            tuple(
                RelayPod(f"relay-{node}", f"uid-relay-{node}", node, "192.0.2.1", 9090, terminating=ending)
                for node, ending in self.relays.items()
            ),
            {name: Node(name, labels) for name, labels in self.nodes.items()},
            self.written,
        )
        self.last = desired_state(view, self.policy, self.last)
        self.written = self.last.text
        return {node: entry.name for node, entry in self.last.entries.items()}

    def claim(self, name: str) -> Any:
        assert self.last is not None
        return next(claim for claim in self.last.claims.values() if claim.pool.name == name)


@pytest.fixture
def cluster(make_pool: MakePool) -> Cluster:
    """Three nodes with a relay each; `zone` has node c, `all` the rest."""
    return Cluster(
        nodes={"a": ONE, "b": ONE, "c": TWO},
        relays=dict.fromkeys("abc", False),
        pools=[make_pool("all"), make_pool("zone", "2026-02-01T00:00:00Z", nodeSelector=TWO)],
    )


BEFORE = {"a": "all", "b": "all", "c": "zone"}


def no_pod(cluster: Cluster) -> None:
    del cluster.relays["c"]


def ending_pod(cluster: Cluster) -> None:
    cluster.relays["c"] = True


def new_node(cluster: Cluster) -> None:
    cluster.nodes["d"], cluster.relays["d"] = TWO, False


def new_node_without_labels(cluster: Cluster) -> None:
    cluster.relays["d"] = False


def gone_node(cluster: Cluster) -> None:
    del cluster.relays["c"]
    del cluster.nodes["c"]


def unlisted_node(cluster: Cluster) -> None:
    del cluster.nodes["c"]


def relabelled_node(cluster: Cluster) -> None:
    cluster.nodes["c"] = ONE


def relabelled_node_without_a_pod(cluster: Cluster) -> None:
    cluster.nodes["c"] = ONE
    del cluster.relays["c"]


def deleted_pool(cluster: Cluster) -> None:
    del cluster.pools[1]


def deleted_pool_between_two_pods(cluster: Cluster) -> None:
    del cluster.pools[1]
    del cluster.relays["c"]


def spoilt_configuration(cluster: Cluster) -> None:
    cluster.written = "{}"


def deleted_configuration(cluster: Cluster) -> None:
    cluster.written = None


@pytest.mark.parametrize(
    ("happens", "then"),
    [
        (no_pod, BEFORE),
        (ending_pod, BEFORE),
        (new_node, {**BEFORE, "d": "zone"}),
        (new_node_without_labels, {**BEFORE, "d": "all"}),
        (gone_node, {"a": "all", "b": "all"}),
        (unlisted_node, BEFORE),
        (relabelled_node, {**BEFORE, "c": "all"}),
        (relabelled_node_without_a_pod, {**BEFORE, "c": "all"}),
        (deleted_pool, {**BEFORE, "c": "all"}),
        (deleted_pool_between_two_pods, {**BEFORE, "c": "all"}),
        (spoilt_configuration, BEFORE),
        (deleted_configuration, BEFORE),
    ],
)
def test_who_has_what_after_the_cluster_changed(
    cluster: Cluster, happens: Callable[[Cluster], None], then: dict[str, str]
) -> None:
    assert cluster.read_view() == BEFORE
    happens(cluster)
    assert cluster.read_view() == then
    assert cluster.read_view() == then, "a second look changes nothing"


def test_a_rollout_never_leaves_a_node_without_its_pool(cluster: Cluster) -> None:
    for relays in ({"a": False, "b": False, "c": True}, {"a": False, "b": False}, {"a": False, "b": False, "c": False}):
        cluster.read_view()
        cluster.relays = relays
        assert cluster.read_view() == BEFORE


def test_an_operator_that_starts_between_two_pods_keeps_the_node(cluster: Cluster) -> None:
    cluster.read_view()
    cluster.last = None
    del cluster.relays["c"]
    assert cluster.read_view() == BEFORE


def frozen(make_pool: MakePool, pool: Pool, kind: str, **spec: Any) -> Pool:
    """Return the pool in its next generation: paused, or with an invalid range."""
    edited = {
        "portRange": {"start": 5, "end": 1} if kind == "unreadable" else {"start": 20000, "end": 20100},
        "nodeSelector": dict(pool.selector),
        "paused": kind == "paused",
        **spec,
    }
    return replace(make_pool(pool.name, pool.created, **edited), generation=pool.generation + 1)


@pytest.mark.parametrize("kind", ["paused", "unreadable"])
def test_a_frozen_pool_keeps_its_nodes_from_a_pool_that_would_have_them_all(
    cluster: Cluster, make_pool: MakePool, kind: str
) -> None:
    cluster.read_view()
    cluster.pools[1] = frozen(make_pool, cluster.pools[1], kind)
    assert cluster.read_view() == BEFORE
    assert cluster.claim("all").lost == (("c", "voice/zone"),)


@pytest.mark.parametrize("kind", ["paused", "unreadable"])
@pytest.mark.parametrize("selector", [{}, ONE, {"zone": 7}])
def test_a_selector_that_is_edited_on_a_frozen_pool_moves_no_node(
    cluster: Cluster, make_pool: MakePool, kind: str, selector: dict[str, Any]
) -> None:
    cluster.read_view()
    # The younger pool ranks by its selector, which is empty now, and would lose against `all`; so it goes first.
    cluster.pools[0] = replace(cluster.pools[0], created="2026-03-01T00:00:00Z")
    cluster.pools[1] = frozen(make_pool, cluster.pools[1], kind, nodeSelector=selector)
    assert cluster.read_view() == BEFORE


@pytest.mark.parametrize("kind", ["paused", "unreadable"])
def test_a_frozen_pool_keeps_its_entry_when_the_configuration_is_deleted_or_edited(
    cluster: Cluster, make_pool: MakePool, kind: str
) -> None:
    cluster.read_view()
    good = cluster.written
    assert good is not None
    cluster.pools[1] = frozen(make_pool, cluster.pools[1], kind)
    edited = json.loads(good)
    next(pool for pool in edited["pools"] if pool["name"] == "zone")["portRange"] = {"start": 30000, "end": 30100}
    for spoilt in (None, "{}", json.dumps(edited)):
        cluster.written = spoilt
        assert cluster.read_view() == BEFORE
        entry = decode_for_node(cluster.written or "", "c")
        assert entry is not None
        assert (str(entry.port_range), entry.generation) == ("10000-10100", 3)


def test_a_pool_that_was_paused_from_its_beginning_asks_for_nothing(cluster: Cluster, make_pool: MakePool) -> None:
    cluster.pools = [make_pool("all"), make_pool("zone", nodeSelector=TWO, paused=True)]
    assert cluster.read_view() == {"a": "all", "b": "all", "c": "all"}
    assert cluster.claim("zone").lost == ()


def test_a_pool_that_goes_on_after_a_pause_has_what_it_asks_for(cluster: Cluster, make_pool: MakePool) -> None:
    cluster.read_view()
    cluster.pools[1] = frozen(make_pool, cluster.pools[1], "paused", nodeSelector=ONE)
    cluster.read_view()
    cluster.pools[1] = make_pool("zone", "2026-02-01T00:00:00Z", nodeSelector=ONE)
    assert cluster.read_view() == {"a": "zone", "b": "zone", "c": "all"}


def test_the_winner_knows_who_else_wanted_its_node(cluster: Cluster, make_pool: MakePool) -> None:
    cluster.pools.append(make_pool("young", "2026-03-01T00:00:00Z", nodeSelector=TWO))
    cluster.read_view()
    assert cluster.claim("zone").wanted_by == (("c", "voice/young"), ("c", "voice/all"))
    assert cluster.claim("all").wanted_by == ()
    assert cluster.claim("young").lost == (("c", "voice/zone"),)


def test_a_selected_node_without_a_relay_is_named(cluster: Cluster) -> None:
    cluster.nodes["d"] = TWO
    cluster.read_view()
    assert cluster.claim("zone").without_relay == ("d",)
    assert cluster.claim("all").without_relay == (), "an empty selector picks nodes by their relay"


def test_with_permission_pools_of_two_namespaces_share_nodes_by_the_same_rule(
    cluster: Cluster, make_pool: MakePool
) -> None:
    cluster.policy = TrustPolicy("voice", frozenset({"lab"}), foreign_pools_may_take_nodes=True)
    cluster.pools = [make_pool("p"), make_pool("p", namespace="lab"), make_pool("c", nodeSelector=TWO)]
    cluster.read_view()
    assert cluster.last is not None
    claims = cluster.last.claims
    assert claims["uid-lab-p"].owned == ("a", "b"), "as old as the other, and first by namespace"
    assert claims["uid-c"].owned == ("c",)
    assert claims["uid-p"].lost == (("a", "lab/p"), ("b", "lab/p"), ("c", "voice/c"))
    assert claims["uid-lab-p"].wanted_by == (("a", "voice/p"), ("b", "voice/p"))
    cluster.pools = cluster.pools[:1]
    cluster.read_view()
    assert cluster.last.claims["uid-p"].owned == ("a", "b", "c"), "handed over to the other namespace"
