"""What the operator sees of the cluster at one moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rtppool_operator.pools.spec import Pool


@dataclass(frozen=True, slots=True)
class Node:
    """A node's labels, and its ExternalIP where it has one."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    external_address: str | None = None


@dataclass(frozen=True, slots=True)
class RelayPod:
    """A relay's pod on a node. `revision` is what its refresh annotation says.

    One that is `terminating` may have calls for an hour more, and its node stays its pool's.
    """

    name: str
    uid: str
    node: str
    address: str | None
    port: int
    revision: str | None = None
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Pools of all namespaces, relay pods of the operator's, all nodes, and `pools.json` as it stands (None: none).

    `versions` are the pools' resource versions by uid.
    """

    pools: tuple[Pool, ...]
    relays: tuple[RelayPod, ...]
    nodes: Mapping[str, Node]
    written: str | None
    versions: Mapping[str, str] = field(default_factory=dict)
