"""An RtpPool object and the cluster around it as types. The defaults of a spec are the CRD's; a test compares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from rtppool_core.contract.codec import Contract
from rtppool_core.contract.pools_file import (
    DrainSettings,
    EchoTarget,
    MediaSettings,
    ProbeSettings,
    SlaLimits,
)
from rtppool_core.contract.port_range import PortRange

GROUP = "rtppool.dev"
VERSION = "v1alpha1"
PLURAL = "rtppools"
KIND = "RtpPool"
CRD_NAME = f"{PLURAL}.{GROUP}"
# On the default pool: the digest of the chart's values that it has.
VALUES_DIGEST = f"{GROUP}/values-digest"


class Advertise(Contract, frozen=True):
    """Source of the address that a relay gives to Asterisk."""

    source: Literal["HostIP", "NodeExternalIP", "Static"] = "HostIP"
    address: str | None = None


class PoolSpec(Contract, frozen=True):
    """The spec of an RtpPool; names and meaning are the CRD's."""

    port_range: PortRange
    excluded_ports: tuple[int, ...] = ()
    reuse_delay_seconds: int = 5
    echo: EchoTarget = EchoTarget()
    advertise: Advertise = Advertise()
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    max_calls: int | None = None
    media: MediaSettings = MediaSettings()
    drain: DrainSettings = DrainSettings()
    sla: SlaLimits = SlaLimits()
    probe: ProbeSettings = ProbeSettings()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """One object. An invalid spec is None, with the reason in `problem`. So is one of a pool that is not honoured.

    `selector` is the object's nodeSelector, also of an invalid spec, because it ranks the pool among others.
    `values_digest` is the annotation of the default pool. `document` is the spec as the API server has it.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: PoolSpec | None
    problem: str | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    selector: Mapping[str, Any] = field(default_factory=dict)
    values_digest: str | None = None
    document: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """A Kubernetes event. `kind` is `Warning` for a change to False."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node's labels, and its ExternalIP where it has one."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    external_address: str | None = None


@dataclass(frozen=True, slots=True)
class RelayPod:
    """A relay's pod on a node. `revision` is the value of its refresh annotation, and `created` a time of RFC 3339.

    A `terminating` pod may have calls for another hour, and its pool still owns the node.
    """

    name: str
    uid: str
    node: str
    address: str | None
    port: int
    revision: str | None = None
    terminating: bool = False
    created: str = ""


def serving_relays(relays: Iterable[RelayPod]) -> tuple[RelayPod, ...]:
    """Return the relays without those that stand by, by name.

    During a rollout that hands calls over, the next relay stands by beside the former one. Both have the address of
    their node, where the former one answers. So the oldest of the pods that stay is the one that serves.
    """
    by_name = sorted(relays, key=lambda relay: relay.name)
    newest_first = sorted(by_name, key=lambda relay: relay.created, reverse=True)
    oldest = {relay.node: relay for relay in newest_first if not relay.terminating}
    return tuple(relay for relay in by_name if relay.terminating or oldest[relay.node] is relay)


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
    """Pools of all namespaces, the serving relay pods of the operator's namespace, and all nodes.

    `written` is the current `pools.json`, None without one. `default_pool` is the recorded name of a default pool that
    existed.
    """

    pools: tuple[Pool, ...]
    relays: tuple[RelayPod, ...]
    nodes: Mapping[str, Node]
    written: str | None
    default_pool: str | None = None
