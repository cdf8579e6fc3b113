"""The Kubernetes API as the operator uses it. Only here is the client imported; all calls block, with time limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import urllib3
from kubernetes.client import ApiException

import kubernetes
from rtppool_core.pool_config import CONFIG_MAP_NAME, FILE_NAME, REFRESH_ANNOTATION
from rtppool_operator.cluster_view import ClusterView, Node, RelayPod
from rtppool_operator.permissions import CRD_NAME
from rtppool_operator.pool_events import PoolEvent
from rtppool_operator.pool_spec import GROUP, KIND, PLURAL, VERSION, Pool, parse_pool

RELAY_SELECTOR = "app.kubernetes.io/component=relay"
RELAY_PORT_NAME = "http"
REQUEST_SECONDS = (3, 10)
NOT_FOUND, CONFLICT, UNPROCESSABLE = 404, 409, 422
FIELD_MANAGER = "rtp-pool-operator"
LONGEST_EVENT = 1024
LONGEST_REASON = 300


class ClusterError(Exception):
    """The API server refused or can't be reached; the message says what was asked and why not."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """One cluster, seen from one namespace."""

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str) -> None:
        self._core = kubernetes.client.CoreV1Api(client)
        self._custom = kubernetes.client.CustomObjectsApi(client)
        self._extensions = kubernetes.client.ApiextensionsV1Api(client)
        self._leases = kubernetes.client.CoordinationV1Api(client)
        self._client = client
        self._namespace = namespace

    def look(self) -> ClusterView:
        """Pools, relays, nodes and the configuration as they stand.

        Raises:
            ClusterError: a part of it can't be had; then nothing is known.
        """
        return ClusterView(self.pools(), self.relays(), self.nodes(), self.written())

    def pools(self) -> tuple[Pool, ...]:
        """Pools of all namespaces."""
        listed = _ask("list rtppools", self._custom.list_cluster_custom_object, GROUP, VERSION, PLURAL)
        return tuple(parse_pool(item) for item in listed["items"])

    def relays(self) -> tuple[RelayPod, ...]:
        """Relay pods that run, those that are being deleted included: their calls live on."""
        listed = _ask(
            f"list pods in {self._namespace}",
            self._core.list_namespaced_pod,
            self._namespace,
            label_selector=RELAY_SELECTOR,
            resource_version="0",
        )
        return tuple(relay for pod in listed.items if (relay := _relay(pod)) is not None)

    def nodes(self) -> Mapping[str, Node]:
        """All nodes by name."""
        listed = _ask("list nodes", self._core.list_node, resource_version="0")
        return {node.metadata.name: _node(node) for node in listed.items}

    def written(self) -> str | None:
        """`pools.json` as it stands; None without the ConfigMap."""
        try:
            found = _ask(
                f"get configmap {CONFIG_MAP_NAME}",
                self._core.read_namespaced_config_map,
                CONFIG_MAP_NAME,
                self._namespace,
            )
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return (found.data or {}).get(FILE_NAME)

    def write(self, text: str, *, exists: bool) -> None:
        """Write `pools.json`."""
        if exists:
            _ask(
                f"patch configmap {CONFIG_MAP_NAME}",
                self._core.patch_namespaced_config_map,
                CONFIG_MAP_NAME,
                self._namespace,
                {"data": {FILE_NAME: text}},
                field_manager=FIELD_MANAGER,
            )
            return
        body = {
            "metadata": {"name": CONFIG_MAP_NAME, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
            "data": {FILE_NAME: text},
        }
        _ask(
            f"create configmap {CONFIG_MAP_NAME}",
            self._core.create_namespaced_config_map,
            self._namespace,
            body,
            field_manager=FIELD_MANAGER,
        )

    def refresh(self, relay: RelayPod, revision: str) -> None:
        """Annotate a relay's pod, so that the kubelet renews its mounts at once. A pod that is gone needs nothing."""
        try:
            _ask(
                f"annotate pod {relay.name}",
                self._core.patch_namespaced_pod_status,
                relay.name,
                self._namespace,
                {"metadata": {"annotations": {REFRESH_ANNOTATION: revision}}},
                field_manager=FIELD_MANAGER,
            )
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise

    def write_status(self, pool: Pool, status: Mapping[str, Any]) -> None:
        """Replace a pool's status. A pool that is gone, or was made anew, needs nothing."""
        body = [
            {"op": "test", "path": "/metadata/uid", "value": pool.uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        try:
            _ask(
                f"patch status of {pool.key}",
                self._custom.patch_namespaced_custom_object_status,
                GROUP,
                VERSION,
                pool.namespace,
                PLURAL,
                pool.name,
                body,
                field_manager=FIELD_MANAGER,
                _content_type="application/json-patch+json",
            )
        except ClusterError as error:
            if error.status not in {NOT_FOUND, CONFLICT, UNPROCESSABLE}:
                raise

    def tell(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
        """Create an event on a pool."""
        now = datetime.now(UTC)
        body = {
            "metadata": {"generateName": f"{pool.name}."},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": pool.namespace,
                "name": pool.name,
                "uid": pool.uid,
            },
            "type": event.kind,
            "reason": event.reason,
            "message": event.message[:LONGEST_EVENT],
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": f"{GROUP}/{FIELD_MANAGER}",
            "reportingInstance": reporter,
            "firstTimestamp": now.isoformat(),
            "lastTimestamp": now.isoformat(),
            "count": 1,
        }
        _ask(f"create event on {pool.key}", self._core.create_namespaced_event, pool.namespace, body)

    def definition(self) -> dict[str, Any] | None:
        """The CRD as it stands; None without one."""
        try:
            found = _ask(f"get crd {CRD_NAME}", self._extensions.read_custom_resource_definition, CRD_NAME)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return dict(self._client.sanitize_for_serialization(found))  # type: ignore[no-untyped-call]

    def apply_definition(self, document: Mapping[str, Any], manager: str) -> None:
        """Apply the CRD server-side; force takes fields over that another manager had."""
        _ask(
            f"apply crd {CRD_NAME}",
            self._extensions.patch_custom_resource_definition,
            CRD_NAME,
            document,
            field_manager=manager,
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    def lease(self, namespace: str, name: str) -> Any | None:
        """A Lease; None without one."""
        try:
            return _ask(f"get lease {name}", self._leases.read_namespaced_lease, name, namespace)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def write_lease(self, namespace: str, name: str, lease: Any, *, exists: bool) -> bool:
        """Create or replace a Lease; False when somebody else was faster."""
        try:
            if exists:
                _ask(f"update lease {name}", self._leases.replace_namespaced_lease, name, namespace, lease)
            else:
                _ask(f"create lease {name}", self._leases.create_namespaced_lease, namespace, lease)
        except ClusterError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True


def connect(namespace: str) -> Cluster:
    """The cluster that this pod runs in, or the one of the user's kubeconfig.

    Raises:
        ClusterError: neither is there.
    """
    configuration = kubernetes.client.Configuration()
    try:
        try:
            kubernetes.config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except kubernetes.config.ConfigException as error:
        raise ClusterError(f"no cluster is configured, by a pod's account or by KUBECONFIG: {error}") from error
    # The next round asks again; repeating at once, with a log line each, would only hide what is wrong.
    configuration.retries = False
    return Cluster(kubernetes.client.ApiClient(configuration), namespace)


def _ask(what: str, call: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return call(*arguments, **options, _request_timeout=REQUEST_SECONDS)
    except ApiException as error:
        raise ClusterError(f"{what}: {_reason(error)}", error.status) from error
    except urllib3.exceptions.HTTPError as error:
        raise ClusterError(f"{what}: the API server can't be reached ({error})"[:LONGEST_REASON]) from error


def _reason(error: ApiException) -> str:
    try:
        told = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        told = error.reason
    return f"{error.status} {told}"[:LONGEST_REASON]


def _relay(pod: Any) -> RelayPod | None:
    ports = {
        port.name: port.container_port
        for container in pod.spec.containers
        for port in container.ports or []
        if port.name
    }
    if pod.spec.node_name is None or RELAY_PORT_NAME not in ports or pod.status.phase in {"Succeeded", "Failed"}:
        return None
    return RelayPod(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        node=pod.spec.node_name,
        address=pod.status.pod_ip,
        port=ports[RELAY_PORT_NAME],
        revision=(pod.metadata.annotations or {}).get(REFRESH_ANNOTATION),
        terminating=pod.metadata.deletion_timestamp is not None,
    )


def _node(node: Any) -> Node:
    external = next((each.address for each in node.status.addresses or [] if each.type == "ExternalIP"), None)
    return Node(node.metadata.name, node.metadata.labels or {}, external)
