"""Which pool has which node, and the `pools.json` that follows. Pure.

Ownership is per node: a non-empty nodeSelector beats an empty one, then the older creationTimestamp, then the first by
namespace and name. A pool that is paused or can't be read asks for exactly the nodes that it has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rtppool_core.contract.codec import ContractError, from_json, to_json
from rtppool_core.contract.pools_file import NodeAssignment, PoolEntry, PoolsDocument, encode
from rtppool_operator.pools.cluster_view import ClusterView, Node, RelayPod
from rtppool_operator.pools.spec import Pool, PoolSpec

REVISION_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """A pool's nodes.

    `owned` are those that it has, `lost` those that another pool has (with that pool), `unserved` those that it can't
    serve (with the reason). `wanted_by` are those that it has and others asked for as well, with each of them;
    `without_relay` those that its selector picks and no relay runs on. Pools are named `namespace/name`.
    """

    pool: Pool
    owned: tuple[str, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    unserved: tuple[tuple[str, str], ...] = ()
    wanted_by: tuple[tuple[str, str], ...] = ()
    without_relay: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """The document to write, each pool's claim by uid, and each node's entry by the node's name."""

    text: str
    claims: Mapping[str, Claim]
    entries: Mapping[str, PoolEntry] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """Tells this text from others."""
        return _digest(self.text)

    def revision_of(self, node: str) -> str:
        """Tells what this node's relay should run from what it should run otherwise; set on its pod.

        The kubelet refreshes the mount at once when it changes, so a relay whose entry stands is left alone.
        """
        return self.revisions.get(node, WITHOUT_ENTRY)


def desired_state(view: ClusterView, last_text: str | None = None) -> Desired:
    """What relays should run.

    `last_text` is what this operator wrote last; where it is None, what stands in the cluster. Somebody else's edit or
    deletion of the ConfigMap so changes nothing for a pool that keeps its entry.
    """
    kept = written_entries(view.written if last_text is None else last_text)
    claims = claim_nodes(view.pools, view.nodes, {relay.node for relay in view.relays}, kept)
    entries = [
        entry
        for claim in claims
        if (entry := _entry(claim, view.nodes, kept.get(claim.pool.uid))) is not None and entry.nodes
    ]
    ordered = tuple(sorted(entries, key=lambda entry: (entry.namespace, entry.name)))
    return Desired(
        encode(PoolsDocument(ordered)),
        {claim.pool.uid: claim for claim in claims},
        {node.name: entry for entry in ordered for node in entry.nodes},
        {name: revision for entry in ordered for name, revision in _revisions(entry)},
    )


def claim_nodes(
    pools: Iterable[Pool],
    nodes: Mapping[str, Node],
    with_relay: Collection[str],
    kept: Mapping[str, PoolEntry],
) -> list[Claim]:
    """Give every node to at most one pool.

    Asked for are nodes `with_relay`, and those of `kept` (the last written entries by uid) that still exist: between
    two pods of a rollout a node has none, and the next must not start on its environment.
    """
    ranked = sorted(pools, key=_rank)
    ground = _Candidates(nodes, with_relay, kept, ranked)
    asked = {pool.uid: ground.asked(pool) for pool in ranked}
    owner: dict[str, Pool] = {}
    for pool in ranked:
        for name in asked[pool.uid]:
            owner.setdefault(name, pool)
    others: dict[str, list[str]] = {}
    for pool in ranked:
        for name in asked[pool.uid]:
            if owner[name] is not pool:
                others.setdefault(name, []).append(pool.key)
    return [_claim(pool, asked[pool.uid], ground, owner, others) for pool in ranked]


def written_entries(text: str | None) -> dict[str, PoolEntry]:
    """The entries of a `pools.json` by uid; what can't be read is left out, one by one."""
    try:
        raw_entries = json.loads(text or "{}").get("pools", [])
    except (ValueError, AttributeError, RecursionError):
        return {}
    entries = {}
    for raw in raw_entries if isinstance(raw_entries, list) else []:
        try:
            entry = from_json(PoolEntry, raw)
        except ContractError:
            continue
        entries[entry.uid] = entry
    return entries


def is_frozen(pool: Pool) -> bool:
    """Whether a pool keeps the entry that was written last: it is paused, or can't be read."""
    return pool.spec is None or pool.spec.paused


def pods_to_refresh(relays: Iterable[RelayPod], desired: Desired) -> list[RelayPod]:
    """The relays whose annotation names another revision of their entry than the desired one.

    A pod that is being deleted is left out: the kubelet refreshes its mounts no more.
    """
    return [
        relay
        for relay in relays
        if not relay.terminating and revision_in(relay.revision) != desired.revision_of(relay.node)
    ]


def revision_in(annotation: str | None) -> str | None:
    """The revision in an annotation, which may have the number of a repetition behind it: `<revision>.<n>`."""
    return None if annotation is None else annotation.partition(".")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:REVISION_DIGITS]


WITHOUT_ENTRY = _digest("")


def _revisions(entry: PoolEntry) -> list[tuple[str, str]]:
    shared = json.dumps(to_json(replace(entry, nodes=())), sort_keys=True)
    return [(node.name, _digest(f"{shared}{node.advertise_address or ''}")) for node in entry.nodes]


def _rank(pool: Pool) -> tuple[bool, str, str, str]:
    return (not pool.selector, pool.created, pool.namespace, pool.name)


class _Candidates:
    """The nodes that pools ask for."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        with_relay: Collection[str],
        kept: Mapping[str, PoolEntry],
        pools: Sequence[Pool],
    ) -> None:
        held = {node.name: pool.uid for pool in pools if pool.uid in kept for node in kept[pool.uid].nodes}
        left = {node.name for entry in kept.values() for node in entry.nodes if node.name in nodes}
        self.nodes = nodes
        self.with_relay = with_relay
        self._kept = kept
        self._held = held
        self._within_reach = sorted(left.union(with_relay))

    def asked(self, pool: Pool) -> tuple[str, ...]:
        if is_frozen(pool):
            entry = self._kept.get(pool.uid)
            return tuple(sorted(node.name for node in entry.nodes)) if entry is not None else ()
        return tuple(name for name in self._within_reach if self._matches(pool, name))

    def without_relay(self, pool: Pool, asked: Collection[str]) -> tuple[str, ...]:
        picked = asked if is_frozen(pool) else self._picked(pool)
        return tuple(sorted(name for name in picked if name not in self.with_relay))

    def _picked(self, pool: Pool) -> list[str]:
        """An empty selector picks relays' nodes, so it misses none."""
        return [name for name in self.nodes if pool.selector and self._matches(pool, name)]

    def _matches(self, pool: Pool, name: str) -> bool:
        node = self.nodes.get(name)
        if node is None:
            # A relay on a node that is not listed (yet, or any more): its labels are unknown, so nothing changes hands.
            holder = self._held.get(name)
            return not pool.selector if holder is None else holder == pool.uid
        return pool.selector.items() <= node.labels.items()


def _claim(
    pool: Pool,
    asked: Sequence[str],
    ground: _Candidates,
    owner: Mapping[str, Pool],
    others: Mapping[str, Sequence[str]],
) -> Claim:
    mine = [name for name in asked if owner[name] is pool]
    unserved = tuple(
        (name, "the node has no ExternalIP")
        for name in mine
        if not is_frozen(pool) and pool.spec is not None and _lacks_address(pool.spec, ground.nodes.get(name))
    )
    without = {name for name, _ in unserved}
    return Claim(
        pool=pool,
        owned=tuple(name for name in mine if name not in without),
        lost=tuple((name, owner[name].key) for name in asked if owner[name] is not pool),
        unserved=unserved,
        wanted_by=tuple((name, other) for name in mine for other in others.get(name, ())),
        without_relay=ground.without_relay(pool, asked),
    )


def _entry(claim: Claim, nodes: Mapping[str, Node], kept: PoolEntry | None) -> PoolEntry | None:
    spec = claim.pool.spec
    if spec is None or spec.paused:
        return _kept_entry(claim, kept)
    try:
        return _new_entry(claim, spec, nodes)
    except ValueError:
        # What the entry refuses, the reading of the spec should have; one pool must not stop all others.
        return _kept_entry(claim, kept)


def _kept_entry(claim: Claim, kept: PoolEntry | None) -> PoolEntry | None:
    if kept is None:
        return None
    return replace(kept, nodes=tuple(node for node in kept.nodes if node.name in claim.owned))


def _new_entry(claim: Claim, spec: PoolSpec, nodes: Mapping[str, Node]) -> PoolEntry:
    return PoolEntry(
        name=claim.pool.name,
        namespace=claim.pool.namespace,
        uid=claim.pool.uid,
        generation=claim.pool.generation,
        nodes=tuple(NodeAssignment(name, _advertised(spec, nodes.get(name))) for name in claim.owned),
        port_range=spec.port_range,
        excluded_ports=tuple(sorted(spec.excluded_ports)),
        reuse_delay_seconds=spec.reuse_delay_seconds,
        echo=spec.echo,
        media=spec.media,
        max_calls=spec.max_calls,
        sla=spec.sla,
        probe=spec.probe,
        drain=spec.drain,
    )


def _lacks_address(spec: PoolSpec, node: Node | None) -> bool:
    return spec.advertise.source == "NodeExternalIP" and _advertised(spec, node) is None


def _advertised(spec: PoolSpec, node: Node | None) -> str | None:
    match spec.advertise.source:
        case "Static":
            return spec.advertise.address
        case "NodeExternalIP":
            return node.external_address if node is not None else None
    return None
