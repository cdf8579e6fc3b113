"""Every right that the operator uses, as one table. The chart's roles are tested against it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtppool_core.pool_config import CONFIG_MAP_NAME
from rtppool_operator.pool_spec import GROUP, PLURAL

LEASE_NAME = "rtp-pool-operator"
# One release per cluster: its lease lies where every release looks.
LEASE_NAMESPACE = "kube-system"
CRD_NAME = f"{PLURAL}.{GROUP}"

Where = Literal["cluster", "release", "kube-system"]


@dataclass(frozen=True, slots=True)
class Permission:
    """`verbs` on a resource of an API group, on `names` alone where given, in the whole cluster or a namespace."""

    where: Where
    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()


PERMISSIONS = (
    Permission("cluster", GROUP, PLURAL, ("get", "list", "watch"), "pools of all namespaces"),
    Permission("cluster", GROUP, f"{PLURAL}/status", ("patch",), "their status"),
    Permission("cluster", "", "nodes", ("list",), "labels for nodeSelector, ExternalIP"),
    Permission("cluster", "", "events", ("create",), "events stand in the pool's namespace"),
    Permission(
        "cluster",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        ("get", "patch"),
        "a newer definition than the one that Helm installed",
        (CRD_NAME,),
    ),
    Permission("release", "", "pods", ("list",), "relays"),
    Permission("release", "", "pods/status", ("patch",), "annotate a relay's pod; its image is out of reach"),
    Permission("release", "", "configmaps", ("get", "patch"), "pools.json", (CONFIG_MAP_NAME,)),
    Permission("release", "", "configmaps", ("create",), "creation can't be granted by name"),
    Permission("kube-system", "coordination.k8s.io", "leases", ("get", "update"), "one operator", (LEASE_NAME,)),
    Permission("kube-system", "coordination.k8s.io", "leases", ("create",), "creation can't be granted by name"),
)
