"""Which pool has which node, and the `pools.json` that follows. Pure.

Ownership is per node: a non-empty nodeSelector beats an empty one, then the older creationTimestamp, then the first by
namespace and name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from rtppool_core.contract import ContractError, from_json
from rtppool_core.pool_config import NodeAssignment, PoolEntry, PoolsDocument, encode
from rtppool_operator.cluster_view import ClusterView, Node, RelayPod
from rtppool_operator.pool_spec import Pool, PoolSpec

REVISION_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """A pool's nodes: `owned`, those `lost` with the pool that has them, and those it can't serve with the reason."""

    pool: Pool
    owned: tuple[str, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    unserved: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """The document to write, and each pool's claim by uid."""

    text: str
    claims: Mapping[str, Claim]

    @property
    def revision(self) -> str:
        """Tells this text from others; set on relay pods so that the kubelet refreshes their mount at once."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:REVISION_DIGITS]


def desired_state(view: ClusterView) -> Desired:
    """What relays should run. A pool that is paused or can't be read keeps the entry that was written last."""
    relay_nodes = sorted({relay.node for relay in view.relays})
    nodes = {name: view.nodes.get(name, Node(name)) for name in relay_nodes}
    claims = claim_nodes(view.pools, nodes)
    owner = {name: claim.pool for claim in claims for name in claim.owned}
    kept = written_entries(view.written)
    entries = [
        entry
        for claim in claims
        if (entry := _entry(claim, nodes, owner, kept.get(claim.pool.uid))) is not None and entry.nodes
    ]
    ordered = tuple(sorted(entries, key=lambda entry: (entry.namespace, entry.name)))
    return Desired(encode(PoolsDocument(ordered)), {claim.pool.uid: claim for claim in claims})


def claim_nodes(pools: Iterable[Pool], nodes: Mapping[str, Node]) -> list[Claim]:
    """Give every relay's node to one pool."""
    ranked = sorted(pools, key=_rank)
    owner: dict[str, Pool] = {}
    for pool in ranked:
        for name in _wanted(pool, nodes):
            owner.setdefault(name, pool)
    return [_claim(pool, nodes, owner) for pool in ranked]


def written_entries(text: str | None) -> dict[str, PoolEntry]:
    """The entries of a `pools.json` by uid; what can't be read is left out, one by one."""
    try:
        listed = json.loads(text or "{}").get("pools", [])
    except (ValueError, AttributeError):
        return {}
    entries = {}
    for raw in listed if isinstance(listed, list) else []:
        try:
            entry = from_json(PoolEntry, raw)
        except ContractError:
            continue
        entries[entry.uid] = entry
    return entries


def pods_to_refresh(relays: Iterable[RelayPod], revision: str) -> list[RelayPod]:
    """The relays whose annotation names another revision."""
    return [relay for relay in relays if relay.revision != revision]


def _rank(pool: Pool) -> tuple[bool, str, str, str]:
    selector = pool.spec.node_selector if pool.spec is not None else {}
    return (not selector, pool.created, pool.namespace, pool.name)


def _wanted(pool: Pool, nodes: Mapping[str, Node]) -> list[str]:
    if pool.spec is None:
        # What it asks for can't be read; what it has it keeps, see `_entry`.
        return []
    selector = pool.spec.node_selector.items()
    return [name for name, node in nodes.items() if selector <= node.labels.items()]


def _claim(pool: Pool, nodes: Mapping[str, Node], owner: Mapping[str, Pool]) -> Claim:
    wanted = _wanted(pool, nodes)
    mine = [name for name in wanted if owner[name] is pool]
    unserved = tuple(
        (name, "the node has no ExternalIP")
        for name in mine
        if pool.spec is not None
        and pool.spec.advertise.source == "NodeExternalIP"
        and nodes[name].external_address is None
    )
    without = {name for name, _ in unserved}
    return Claim(
        pool=pool,
        owned=tuple(name for name in mine if name not in without),
        lost=tuple((name, owner[name].key) for name in wanted if owner[name] is not pool),
        unserved=unserved,
    )


def _entry(
    claim: Claim, nodes: Mapping[str, Node], owner: Mapping[str, Pool], kept: PoolEntry | None
) -> PoolEntry | None:
    spec = claim.pool.spec
    if spec is None or spec.paused:
        if kept is None:
            return None
        return replace(kept, nodes=tuple(node for node in kept.nodes if owner.get(node.name, claim.pool) is claim.pool))
    return PoolEntry(
        name=claim.pool.name,
        namespace=claim.pool.namespace,
        uid=claim.pool.uid,
        generation=claim.pool.generation,
        nodes=tuple(NodeAssignment(name, _advertised(spec, nodes[name])) for name in claim.owned),
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


def _advertised(spec: PoolSpec, node: Node) -> str | None:
    match spec.advertise.source:
        case "Static":
            return spec.advertise.address
        case "NodeExternalIP":
            return node.external_address
    return None
