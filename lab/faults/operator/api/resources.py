"""Paths of the API, and the objects that the rig creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME

NAMESPACE = "voice"
OTHER_NAMESPACE = "contact-centre"
POOLS = "/apis/rtppool.dev/v1alpha1/rtppools"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
NODES = "/api/v1/nodes"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
CONFIG_MAP = f"{CONFIG_MAPS}/{CONFIG_MAP_NAME}"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = f"{DEFINITIONS}/rtppools.rtppool.dev"
NAMESPACES = "/api/v1/namespaces"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/rtp-pool-operator"
RELAY_LABELS = {"app.kubernetes.io/component": "relay", "app.kubernetes.io/name": "rtp-pool"}

Document = dict[str, Any]


def pools_of(namespace: str) -> str:
    """Return the path of a namespace's pools."""
    return f"/apis/rtppool.dev/v1alpha1/namespaces/{namespace}/rtppools"


def pool_path(namespace: str, name: str) -> str:
    """Return the path of a pool."""
    return f"{pools_of(namespace)}/{name}"


def pool(namespace: str, name: str, start: int, end: int, **spec: Any) -> Document:
    """Return a pool with a port range; `spec` holds further fields in the API's names."""
    return {
        "apiVersion": "rtppool.dev/v1alpha1",
        "kind": "RtpPool",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"portRange": {"start": start, "end": end}, **spec},
    }


def node(name: str, labels: Mapping[str, str]) -> Document:
    """Return a node without pods."""
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}}


def relay_pod(name: str, node_name: str, port: int) -> Document:
    """Return a pod of the relay's DaemonSet, with the fields that the operator reads."""
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": RELAY_LABELS},
        "spec": {
            "nodeName": node_name,
            "hostNetwork": True,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "relay",
                    "image": "rtp-pool-relay:none",
                    "ports": [{"name": "http", "containerPort": port, "hostPort": port}],
                }
            ],
        },
    }


def running(address: str) -> Document:
    """Return the status of a running pod, as a kubelet writes it."""
    return {
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": address,
            "conditions": [{"type": "Ready", "status": "True"}],
        }
    }
