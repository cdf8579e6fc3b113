"""The owner of each node, and the `pools.json` that follows.

`TrustPolicy.rank` has the order in which pools get nodes. A pool that is paused, invalid or refused by the policy is
frozen: it claims exactly the nodes of its last entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs

from rtppool_core.contract.codec import ContractError, from_json, to_json
from rtppool_core.contract.pools_file import NodeAssignment, PoolEntry, PoolsDocument, encode
from rtppool_operator.pools.spec import ClusterView, Node, Pool, PoolSpec, RelayPod
from rtppool_operator.pools.trust import PolicyRefusal, TrustPolicy

REVISION_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """A pool's nodes.

    `owned`: nodes that it owns. `lost`: (node, owner) of claimed nodes that another pool owns. `unserved`: (node,
    reason) of nodes that it can't serve. `wanted_by`: (node, pool) for each other pool that claims an owned node.
    `without_relay`: selected nodes without a relay. Pools are named `namespace/name`. `refusal`: why a valid pool
    does not apply.
    """

    pool: Pool
    owned: tuple[str, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    unserved: tuple[tuple[str, str], ...] = ()
    wanted_by: tuple[tuple[str, str], ...] = ()
    without_relay: tuple[str, ...] = ()
    refusal: PolicyRefusal | None = None

    @property
    def spec(self) -> PoolSpec | None:
        """The spec that relays get; None of a frozen pool, whose last entry stays."""
        spec = self.pool.spec
        return None if self.refusal is not None or spec is None or spec.paused else spec


@dataclass(frozen=True, slots=True)
class Desired:
    """The text of `pools.json`, claims and `pools` by pool uid, and entries and revisions by node."""

    text: str
    claims: Mapping[str, Claim]
    pools: Mapping[str, PoolEntry] = field(default_factory=dict)
    entries: Mapping[str, PoolEntry] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """The digest of the text."""
        return _digest(self.text)

    def revision_of(self, node: str) -> str:
        """Return the digest of a node's entry, which the operator sets on the relay's pod.

        A new annotation makes the kubelet refresh the mount at once. An edit annotates only pods with a changed entry.
        """
        return self.revisions.get(node, WITHOUT_ENTRY)


def desired_state(view: ClusterView, policy: TrustPolicy, last: Desired | None = None) -> Desired:
    """Compute the configuration of all relays.

    Frozen pools keep their entry of `last`, which this operator has written, or without it of the ConfigMap. So another
    client's edit or deletion of the ConfigMap does not change a frozen pool.
    """
    kept = written_entries(view.written) if last is None else last.pools
    claims = claim_nodes(view.pools, view.nodes, {relay.node for relay in view.relays}, kept, policy)
    entries = [
        entry
        for claim in claims
        if (entry := _entry(claim, view.nodes, kept.get(claim.pool.uid))) is not None and entry.nodes
    ]
    ordered = tuple(sorted(entries, key=lambda entry: (entry.namespace, entry.name)))
    return Desired(
        encode(PoolsDocument(ordered)),
        {claim.pool.uid: claim for claim in claims},
        {entry.uid: entry for entry in ordered},
        {node.name: entry for entry in ordered for node in entry.nodes},
        {name: revision for entry in ordered for name, revision in _revisions(entry)},
    )


def claim_nodes(
    pools: Iterable[Pool],
    nodes: Mapping[str, Node],
    with_relay: Collection[str],
    kept: Mapping[str, PoolEntry],
    policy: TrustPolicy,
) -> list[Claim]:
    """Assign every node to at most one pool.

    Pools claim nodes `with_relay`, and existing nodes of `kept`, the last written entries by uid. During a rollout a
    node has no relay for a moment, and the next one must find its entry.
    """
    drafts = [Claim(pool, refusal=policy.check(pool)) for pool in sorted(pools, key=policy.rank)]
    candidates = _Candidates(nodes, with_relay, kept, [draft.pool for draft in drafts], policy)
    claimed = [(draft, candidates.claimed_by(draft)) for draft in drafts]
    claimants: dict[str, list[Pool]] = defaultdict(list)
    for draft, names in claimed:
        for name in names:
            claimants[name].append(draft.pool)
    return [_claim(draft, names, candidates, claimants) for draft, names in claimed]


def written_entries(text: str | None) -> dict[str, PoolEntry]:
    """Return the valid entries of a `pools.json` by uid."""
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


def pods_to_refresh(relays: Iterable[RelayPod], desired: Desired) -> list[RelayPod]:
    """Return the relays whose annotation has another revision than the desired one.

    The kubelet no longer refreshes the mounts of a pod that is being deleted, so such a pod is left out.
    """
    return [
        relay
        for relay in relays
        if not relay.terminating and revision_in(relay.revision) != desired.revision_of(relay.node)
    ]


def revision_in(annotation: str | None) -> str | None:
    """Return the revision in an annotation, which may end in the number of a repetition: `<revision>.<n>`."""
    return None if annotation is None else annotation.partition(".")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:REVISION_DIGITS]


WITHOUT_ENTRY = _digest("")


def _revisions(entry: PoolEntry) -> list[tuple[str, str]]:
    shared = json.dumps(to_json(structs.replace(entry, nodes=())), sort_keys=True)
    addresses = {node.advertise_address or "" for node in entry.nodes}
    digests = {address: _digest(f"{shared}{address}") for address in addresses}
    return [(node.name, digests[node.advertise_address or ""]) for node in entry.nodes]


class _Candidates:
    """The nodes that pools may claim."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        with_relay: Collection[str],
        kept: Mapping[str, PoolEntry],
        pools: Sequence[Pool],
        policy: TrustPolicy,
    ) -> None:
        left = {node.name for entry in kept.values() for node in entry.nodes if node.name in nodes}
        self.nodes = nodes
        self._with_relay = with_relay
        self._policy = policy
        self._kept = kept
        self._holders = {node.name: pool.uid for pool in pools if pool.uid in kept for node in kept[pool.uid].nodes}
        self._claimable = left.union(with_relay) & nodes.keys()
        # A relay's node may not be in the list yet, or no longer.
        self._unlisted = set(with_relay) - nodes.keys()
        self._by_label = _by_label(nodes.values(), pools)

    def claimed_by(self, draft: Claim) -> tuple[str, ...]:
        if draft.spec is None:
            entry = self._kept.get(draft.pool.uid)
            return tuple(sorted(node.name for node in entry.nodes)) if entry is not None else ()
        unlisted = (name for name in self._unlisted if self._keeps(draft.pool, name))
        return tuple(sorted([*(self._claimable & self._selected(draft.pool)), *unlisted]))

    def without_relay(self, draft: Claim, claimed: Collection[str]) -> tuple[str, ...]:
        wanted = set(claimed)
        if draft.spec is not None:
            # An empty selector selects the nodes of relays, so none of them lacks one.
            wanted = self._selected(draft.pool) if draft.pool.selector else set()
        return tuple(sorted(wanted.difference(self._with_relay)))

    def _selected(self, pool: Pool) -> set[str]:
        """Return the listed nodes with all labels of a pool's selector."""
        if not pool.selector:
            return set(self.nodes)
        return set.intersection(*(self._by_label[label] for label in pool.selector.items()))

    def _keeps(self, pool: Pool, unlisted: str) -> bool:
        """Return whether a pool claims a node whose labels are unknown: the owner stays."""
        holder = self._holders.get(unlisted)
        if holder is not None:
            return holder == pool.uid
        # A pool of the release may select this node as soon as its labels are known.
        return not pool.selector and not self._policy.is_ranked_last(pool)


def _by_label(nodes: Iterable[Node], pools: Iterable[Pool]) -> Mapping[tuple[str, Any], set[str]]:
    """Return the names of nodes by label, for the labels that valid pools select."""
    found: dict[tuple[str, Any], set[str]] = {
        label: set() for pool in pools if pool.spec is not None for label in pool.selector.items()
    }
    for node in nodes:
        for label in node.labels.items() & found.keys():
            found[label].add(node.name)
    return found


def _claim(
    draft: Claim, claimed: Sequence[str], candidates: _Candidates, claimants: Mapping[str, Sequence[Pool]]
) -> Claim:
    """Return a pool's claim. The first claimant of a node owns it."""
    pool, spec = draft.pool, draft.spec
    mine = [name for name in claimed if claimants[name][0] is pool]
    unserved = [name for name in mine if spec is not None and _lacks_address(spec, candidates.nodes.get(name))]
    return replace(
        draft,
        owned=tuple(name for name in mine if name not in unserved),
        lost=tuple((name, claimants[name][0].key) for name in claimed if claimants[name][0] is not pool),
        unserved=tuple((name, "the node has no ExternalIP") for name in unserved),
        wanted_by=tuple((name, other.key) for name in mine for other in claimants[name][1:]),
        without_relay=candidates.without_relay(draft, claimed),
    )


def _entry(claim: Claim, nodes: Mapping[str, Node], kept: PoolEntry | None) -> PoolEntry | None:
    pool, spec = claim.pool, claim.spec
    if spec is not None:
        # Validation of the spec should prevent an error here. One pool must not stop all others.
        with contextlib.suppress(ValueError):
            return PoolEntry(
                name=pool.name,
                namespace=pool.namespace,
                uid=pool.uid,
                generation=pool.generation,
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
    if kept is None:
        return None
    return structs.replace(kept, nodes=tuple(node for node in kept.nodes if node.name in claim.owned))


def _lacks_address(spec: PoolSpec, node: Node | None) -> bool:
    return spec.advertise.source == "NodeExternalIP" and _advertised(spec, node) is None


def _advertised(spec: PoolSpec, node: Node | None) -> str | None:
    if spec.advertise.source == "NodeExternalIP":
        return node.external_address if node is not None else None
    return spec.advertise.address
