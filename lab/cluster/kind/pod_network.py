"""The pod network of nodes that the lab made: a bridge on each node, and routes to the pods of the others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from lab.base.errors import LabError

CONFIGURATION = "/etc/cni/net.d/10-bridge.conflist"
MAX_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its part of the pod network: an address and a network of each family."""

    name: str
    addresses: tuple[str, ...]
    pods: tuple[str, ...]


def read_nodes(printed: str) -> list[Node]:
    """Parse `kubectl get nodes --output=json`; nodes without a pod network or address are left out."""
    found = []
    for item in json.loads(printed or '{"items": []}')["items"]:
        addresses = [a["address"] for a in item["status"].get("addresses", []) if a["type"] == "InternalIP"]
        pods = item["spec"].get("podCIDRs")
        if addresses and pods:
            found.append(Node(item["metadata"]["name"], tuple(addresses), tuple(pods)))
    return found


def bridge_configuration(pods: Sequence[str]) -> str:
    """Return the CNI configuration of a node with the pod networks `pods`, one of each family."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}] for subnet in pods],
            "routes": [{"dst": "::/0" if _is_ipv6(subnet) else "0.0.0.0/0"} for subnet in pods],
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "0.4.0", "name": "bridge", "plugins": plugins})


def script_for(node: Node, nodes: Sequence[Node]) -> str:
    """Return the idempotent shell script for a node."""
    routes = [route for other in nodes if other != node for route in _routes_to(other)]
    # A rename, because containerd watches the folder and must not read a partial file.
    configuration = f"echo '{bridge_configuration(node.pods)}' >/run/cni.conflist"
    place = f"mkdir -p /etc/cni/net.d && mv /run/cni.conflist {CONFIGURATION}"
    return "\n".join(["set -e", *routes, configuration, place])


def _routes_to(other: Node) -> list[str]:
    """Return the commands that route the pods of another node over its address of the same family."""
    return [
        f"ip route replace {subnet} via {address}"
        for subnet in other.pods
        for address in other.addresses
        if _is_ipv6(address) == _is_ipv6(subnet)
    ]


def _is_ipv6(text: str) -> bool:
    return ":" in text


def join_pod_networks(nodes: Sequence[Node]) -> None:
    """Configure the bridge and the routes of all nodes.

    Raises:
        LabError: the script fails on a node.
    """
    for node in nodes:
        command = ["docker", "exec", node.name, "sh", "-c", script_for(node, nodes)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAX_SECONDS)
        if answer.returncode != 0:
            raise LabError(f"cluster: pod network of {node.name}: {answer.stderr.strip()}")
