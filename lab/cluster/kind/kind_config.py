"""The configuration of the kind cluster."""

from __future__ import annotations

import json
from typing import Any

from lab.cluster.host.machine import Machine
from lab.cluster.kind.shape import Shape


def kind_config(machine: Machine, shape: Shape, *, made_node_image: bool) -> str:
    """Return a control plane and the workers of `shape`, patched for the limits of this machine and of the node image.

    kind reads YAML, of which JSON is a subset.
    """
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration"}
    patches: list[dict[str, Any]] = []
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
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": "control-plane"}] + [{"role": "worker"}] * shape.workers,
            "networking": {"ipFamily": shape.family},
            "kubeadmConfigPatches": [json.dumps(patch) for patch in patches],
        },
        indent=2,
    )
