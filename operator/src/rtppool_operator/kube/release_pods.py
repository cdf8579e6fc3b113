"""Relay and echo pods of a release as `helm test` sees them, also those that have no node yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtppool_operator.kube.api_server import ApiServer, read_items
from rtppool_operator.kube.documents import relay_of
from rtppool_operator.pools.cluster_view import RelayPod

COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True)
class ReleasePod:
    """A pod and its node.

    `waiting` is the reason why the pod does not run, empty when it does. `relay` is the address of a relay.
    """

    component: str
    name: str
    node: str
    waiting: str = ""
    relay: RelayPod | None = None


async def read_release_pods(api: ApiServer, namespace: str, relay_selector: str) -> tuple[ReleasePod, ...]:
    """Return the pods of relay and echo, without those that are being deleted.

    Raises:
        ClusterError: the API server did not answer with a list.
    """
    selector = ",".join(pair for pair in relay_selector.split(",") if not pair.startswith(f"{COMPONENT}="))
    request = f"list pods in {namespace}"
    query = {"labelSelector": selector, "resourceVersion": "0"}
    document = await api.read(request, f"/api/v1/namespaces/{namespace}/pods", query)
    return tuple(
        _pod(pod)
        for pod in read_items(request, document)
        if pod["metadata"].get("deletionTimestamp") is None
        and pod["metadata"]["labels"].get(COMPONENT) in {"relay", "echo"}
    )


def _pod(pod: Mapping[str, Any]) -> ReleasePod:
    metadata = pod["metadata"]
    component = metadata["labels"][COMPONENT]
    relay = relay_of(pod) if component == "relay" else None
    return ReleasePod(component, metadata["name"], _node(pod), _waiting(pod.get("status") or {}), relay)


def _node(pod: Mapping[str, Any]) -> str:
    """Return the node of a pod. A DaemonSet's pod without a node names it in its affinity."""
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    named = [
        value
        for term in required.get("nodeSelectorTerms") or []
        for field in term.get("matchFields") or []
        for value in field.get("values") or []
    ]
    return str(spec.get("nodeName") or next(iter(named), "(none)"))


def _waiting(status: Mapping[str, Any]) -> str:
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    states = [each.get("state") or {} for each in status.get("containerStatuses") or []]
    reasons = [str(state["waiting"].get("reason")) for state in states if "waiting" in state]
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        reasons.append(str(scheduled.get("message")))
    return reasons[0] if reasons else f"it is {status.get('phase', 'Pending')} and not ready"
