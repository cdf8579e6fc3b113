"""The configuration of the kind cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.cluster.host.machine import Machine
from lab.cluster.kind.audit import CONTROL_PLANE, audited_api_server, policy_mount
from lab.cluster.kind.node_loading import WORKER
from lab.cluster.kind.shape import Shape


def kind_config(machine: Machine, shape: Shape, audit_policy: Path, *, made_node_image: bool) -> str:
    """Return a control plane and the workers of `shape`, patched for the limits of this machine and of the node image.

    The API server logs the requests that the file `audit_policy` selects. kind reads YAML, of which JSON is a subset.
    """
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration"}
    patches: list[dict[str, Any]] = [audited_api_server()]
    if not machine.has_cgroup_v2:
        kubelet["failCgroupV1"] = False
    if not machine.may_raise_limits:
        kubelet["oomScoreAdj"] = 0
        kubelet["featureGates"] = {"KubeletInUserNamespace": True}
    if made_node_image:
        kubelet["cgroupDriver"] = "cgroupfs"
        kubelet["resolvConf"] = "/kind/resolv.conf"
        patches.append({"kind": "KubeProxyConfiguration", "mode": "nftables", "conntrack": {"maxPerCore": 0}})
    if len(kubelet) > 1:
        patches.insert(0, kubelet)
    control_plane = {"role": CONTROL_PLANE, "extraMounts": [policy_mount(audit_policy)]}
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [control_plane, *[{"role": WORKER}] * shape.workers],
            "networking": {"ipFamily": shape.family},
            "kubeadmConfigPatches": [json.dumps(patch) for patch in patches],
        },
        indent=2,
    )
