"""Pods as Prometheus' discovery of Kubernetes presents them, as entries of `file_sd_configs`.

Debian builds Prometheus without that discovery. The labels are those of its documentation for the role `pod`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lab.monitoring.scrape_configs import label_name
from rtppool_core.net.udp import host_port

META = "__meta_kubernetes"


def targets_of(pods: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry for each declared port of each pod, whatever the port's protocol is.

    A container that declares no port has one entry, whose address has no port.
    """
    return [
        {"targets": [_address(pod["status"]["podIP"], port)], "labels": _labels(pod, container, port)}
        for pod in pods
        if "podIP" in pod["status"]
        for container, port in _ports(pod)
    ]


def _ports(pod: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or [None]:
            yield container, port


def _address(ip: str, port: Mapping[str, Any] | None) -> str:
    return ip if port is None else host_port(ip, port["containerPort"])


def _labels(pod: Mapping[str, Any], container: Mapping[str, Any], port: Mapping[str, Any] | None) -> dict[str, str]:
    metadata = pod["metadata"]
    found = {
        f"{META}_namespace": metadata["namespace"],
        f"{META}_pod_name": metadata["name"],
        f"{META}_pod_node_name": pod["spec"]["nodeName"],
        f"{META}_pod_phase": pod["status"]["phase"],
        f"{META}_pod_ip": pod["status"]["podIP"],
        f"{META}_pod_container_name": container["name"],
    }
    if port is not None:
        found[f"{META}_pod_container_port_name"] = port["name"]
    for kind in ("label", "annotation"):
        held = metadata.get(f"{kind}s", {})
        found |= {f"{META}_pod_{kind}_{label_name(key)}": value for key, value in held.items()}
    return found
