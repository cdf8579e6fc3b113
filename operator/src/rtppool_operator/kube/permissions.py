"""Every right that the operator uses, as one table. The chart's roles are tested against it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME
from rtppool_operator.pools.spec import GROUP, PLURAL

LEASE_NAME = "rtp-pool-operator"
# One release per cluster: its lease lies where every release looks.
LEASE_NAMESPACE = "kube-system"
CRD_NAME = f"{PLURAL}.{GROUP}"

Where = Literal["cluster", "release", "kube-system"]


@dataclass(frozen=True, slots=True)
class Permission:
    """`verbs` on a resource of an API group, on `names` alone where given, in the whole cluster or a namespace.

    `why` is the comment above the chart's rule.
    """

    where: Where
    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()


PERMISSIONS = (
    Permission("cluster", GROUP, PLURAL, ("list", "watch"), "Pools of all namespaces: ports are a node's."),
    Permission("cluster", GROUP, f"{PLURAL}/status", ("patch",), "What relays report; the spec is out of reach."),
    Permission(
        "cluster", "", "nodes", ("list",), "Labels for nodeSelector, and the ExternalIP where it is advertised."
    ),
    Permission("cluster", "", "events", ("create",), "Events stand in their pool's namespace."),
    Permission(
        "cluster",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        ("get", "patch"),
        "A newer definition than the one that Helm installed.",
        (CRD_NAME,),
    ),
    Permission("release", "", "pods", ("list",), "Where relays run, and their addresses."),
    Permission("release", "", "pods/status", ("patch",), "Enough to annotate a pod, and not to touch its image."),
    Permission("release", "", "configmaps", ("get", "patch"), "The relays' configuration.", (CONFIG_MAP_NAME,)),
    Permission("release", "", "configmaps", ("create",), "Creation can't be granted by name."),
    Permission(
        "kube-system",
        "coordination.k8s.io",
        "leases",
        ("get", "update"),
        "One operator in the cluster: its lease.",
        (LEASE_NAME,),
    ),
    Permission("kube-system", "coordination.k8s.io", "leases", ("create",), "Creation can't be granted by name."),
)
