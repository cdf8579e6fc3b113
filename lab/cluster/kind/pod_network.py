"""Pods on nodes that were made here reach each other: a bridge on each node, and routes to the other nodes' pods."""

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
    """A node, and the part of the pods' network that it has."""

    name: str
    address: str
    pods: str


def read_nodes(printed: str) -> list[Node]:
    """Read `kubectl get nodes --output=json`; leaves out nodes that have no pod network or address yet."""
    found = []
    for item in json.loads(printed or '{"items": []}')["items"]:
        addresses = [a["address"] for a in item["status"].get("addresses", []) if a["type"] == "InternalIP"]
        pods = item["spec"].get("podCIDR")
        if addresses and pods:
            found.append(Node(item["metadata"]["name"], addresses[0], pods))
    return found


def bridge_configuration(pods: str) -> str:
    """Write the CNI configuration of a node whose pods have the network `pods`."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "0.4.0", "name": "bridge", "plugins": plugins})


def script_for(node: Node, nodes: Sequence[Node]) -> str:
    """Write what a node has to do; doing it again changes nothing."""
    routes = [f"ip route replace {other.pods} via {other.address}" for other in nodes if other != node]
    # Moved into place whole: containerd watches the folder.
    configuration = f"echo '{bridge_configuration(node.pods)}' >/run/cni.conflist"
    place = f"mkdir -p /etc/cni/net.d && mv /run/cni.conflist {CONFIGURATION}"
    return "\n".join(["set -e", *routes, configuration, place])


def join_pod_networks(nodes: Sequence[Node]) -> None:
    """Do it on all nodes.

    Raises:
        LabError: when a node's container can't.
    """
    for node in nodes:
        command = ["docker", "exec", node.name, "sh", "-c", script_for(node, nodes)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAX_SECONDS)
        if answer.returncode != 0:
            raise LabError(f"cluster: pod network of {node.name}: {answer.stderr.strip()}")
