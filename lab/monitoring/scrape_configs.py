"""The configuration of Prometheus that Prometheus Operator makes of PodMonitors, without I/O.

A field of a PodMonitor that is not translated here is an error, so that no field goes unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Returns the path of a file that holds one key of a Secret: namespace, name, key.
SecretFile = Callable[[str, str, str], str]
# Returns the discovery of pods in these namespaces, for example kubernetes_sd_configs.
Discovery = Callable[[list[str]], Mapping[str, Any]]

_SPEC = {"selector", "namespaceSelector", "podMetricsEndpoints"}
_ENDPOINT = {
    *("port", "path", "interval", "scheme", "authorization", "tlsConfig"),
    *("relabelings", "metricRelabelings"),
}
_COPIED = {"path": "metrics_path", "interval": "scrape_interval", "scheme": "scheme"}


class UntranslatedFieldError(Exception):
    """A PodMonitor has a field that this module does not translate."""


def scrape_configs(
    monitors: Iterable[Mapping[str, Any]], secret_file: SecretFile, discovery: Discovery
) -> list[dict[str, Any]]:
    """Return one scrape configuration for each endpoint of each PodMonitor.

    Raises:
        UntranslatedFieldError: a PodMonitor has another field than these.
    """
    return [
        _of_endpoint(monitor, number, endpoint, secret_file, discovery)
        for monitor in monitors
        for number, endpoint in enumerate(monitor["spec"]["podMetricsEndpoints"])
    ]


def _of_endpoint(
    monitor: Mapping[str, Any],
    number: int,
    endpoint: Mapping[str, Any],
    secret_file: SecretFile,
    discovery: Discovery,
) -> dict[str, Any]:
    spec, metadata = monitor["spec"], monitor["metadata"]
    _reject(spec, _SPEC)
    _reject(endpoint, _ENDPOINT)
    _reject(spec["selector"], {"matchLabels"})
    _reject(spec.get("namespaceSelector", {}), {"matchNames"})
    namespace = metadata["namespace"]
    name = f"{namespace}/{metadata['name']}"
    made: dict[str, Any] = {
        "job_name": f"podMonitor/{name}/{number}",
        **{ours: endpoint[theirs] for theirs, ours in _COPIED.items() if theirs in endpoint},
        **discovery(spec.get("namespaceSelector", {}).get("matchNames", [namespace])),
        "relabel_configs": [*_pods(spec, endpoint.get("port"), name), *map(_rule, endpoint.get("relabelings", []))],
        "metric_relabel_configs": list(map(_rule, endpoint.get("metricRelabelings", []))),
    }
    if authorization := endpoint.get("authorization"):
        held = authorization["credentials"]
        made["authorization"] = {
            "type": authorization["type"],
            "credentials_file": secret_file(namespace, held["name"], held["key"]),
        }
    if tls := endpoint.get("tlsConfig"):
        _reject(tls, {"ca", "serverName"})
        held = tls["ca"]["secret"]
        made["tls_config"] = {
            "ca_file": secret_file(namespace, held["name"], held["key"]),
            "server_name": tls["serverName"],
        }
    return made


def _pods(spec: Mapping[str, Any], port: str | None, name: str) -> list[dict[str, Any]]:
    """Return the rules that keep the selected pods and their port, and name them. Without a port, keep all ports."""
    kept = [_keep(f"label_{label_name(key)}", value) for key, value in spec["selector"]["matchLabels"].items()]
    return [
        {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)", "action": "drop"},
        *kept,
        *([] if port is None else [_keep("container_port_name", port)]),
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        {"target_label": "job", "replacement": name},
        *([] if port is None else [{"target_label": "endpoint", "replacement": port}]),
    ]


def _keep(of_pod: str, value: str) -> dict[str, Any]:
    return {"source_labels": [f"__meta_kubernetes_pod_{of_pod}"], "regex": re.escape(value), "action": "keep"}


def label_name(key: str) -> str:
    """Return a Kubernetes label's key as Prometheus writes it in a label's name."""
    return re.sub(r"\W", "_", key, flags=re.ASCII)


def _rule(relabeling: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of relabeling in Prometheus' spelling."""
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {names.get(key, key): value for key, value in relabeling.items()}


def _reject(held: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(held.keys() - known):
        raise UntranslatedFieldError(f"{', '.join(unknown)}: a field that scrape_configs does not translate")
