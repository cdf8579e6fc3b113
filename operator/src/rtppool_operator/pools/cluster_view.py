"""The cluster at one moment, as the operator reads it."""

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
    """A relay's pod on a node. `revision` is the value of its refresh annotation.

    A `terminating` pod may have calls for another hour, and its pool still owns the node.
    """

    name: str
    uid: str
    node: str
    address: str | None
    port: int
    revision: str | None = None
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Configuration:
    """The relays' ConfigMap: the text of `pools.json`, and the recorded name of a default pool that existed.

    Without a ConfigMap, both are None. Without the file in it, the text is empty. `version` is the resource version.
    """

    text: str | None = None
    default_pool: str | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Pools of all namespaces, relay pods of the operator's namespace, and all nodes.

    `written` is the current `pools.json`, None without one. `default_pool` is the recorded name of a default pool that
    existed.
    """

    pools: tuple[Pool, ...]
    relays: tuple[RelayPod, ...]
    nodes: Mapping[str, Node]
    written: str | None
    default_pool: str | None = None
