"""Objects of the API server, as JSON, into what the operator keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtppool_core.contract.pools_file import FILE_NAME, REFRESH_ANNOTATION
from rtppool_operator.pools.cluster_view import Configuration, Node, RelayPod
from rtppool_operator.pools.spec import GROUP

RELAY_PORT_NAME = "http"
# On the ConfigMap of the relays, which an uninstall keeps.
DEFAULT_POOL_ANNOTATION = f"{GROUP}/default-pool"


def relay_of(pod: Mapping[str, Any]) -> RelayPod | None:
    """Read a relay's pod; return None before it has a node, and after its end."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    ports = {
        port["name"]: port["containerPort"]
        for container in spec["containers"]
        for port in container.get("ports") or []
        if port.get("name")
    }
    if not spec.get("nodeName") or RELAY_PORT_NAME not in ports or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    return RelayPod(
        name=metadata["name"],
        uid=metadata["uid"],
        node=spec["nodeName"],
        address=status.get("podIP"),
        port=ports[RELAY_PORT_NAME],
        revision=(metadata.get("annotations") or {}).get(REFRESH_ANNOTATION),
        terminating=metadata.get("deletionTimestamp") is not None,
    )


def node_of(node: Mapping[str, Any]) -> Node:
    """Read a node, with or without its status."""
    addresses = (node.get("status") or {}).get("addresses") or []
    external = next((each["address"] for each in addresses if each["type"] == "ExternalIP"), None)
    return Node(node["metadata"]["name"], node["metadata"].get("labels") or {}, external)


def configuration_of(config_map: Mapping[str, Any]) -> Configuration:
    """Read the relays' ConfigMap."""
    annotations = config_map["metadata"].get("annotations") or {}
    return Configuration((config_map.get("data") or {}).get(FILE_NAME, ""), annotations.get(DEFAULT_POOL_ANNOTATION))
