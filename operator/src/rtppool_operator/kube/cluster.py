"""What the operator reads from the cluster and writes to it: pools, relay pods, and the relays' ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME, FILE_NAME, REFRESH_ANNOTATION
from rtppool_operator.kube.api_server import (
    APPLY_PATCH,
    CONFLICT,
    JSON_PATCH,
    MERGE_PATCH,
    NOT_FOUND,
    ONLY_METADATA,
    UNPROCESSABLE,
    ApiServer,
    ClusterError,
    read_document,
    read_items,
)
from rtppool_operator.pools.cluster_view import ClusterView, Configuration, Node, RelayPod
from rtppool_operator.pools.default_pool import FIELD_MANAGER as VALUES_MANAGER
from rtppool_operator.pools.default_pool import without_hook
from rtppool_operator.pools.event import PoolEvent
from rtppool_operator.pools.parsing import parse_pool, parse_without_spec
from rtppool_operator.pools.schema import spec_schema
from rtppool_operator.pools.spec import GROUP, KIND, PLURAL, VERSION, Pool
from rtppool_operator.pools.trust import TrustPolicy

RELAY_PORT_NAME = "http"
FIELD_MANAGER = "rtp-pool-operator"
# On the ConfigMap of the relays, which an uninstall keeps.
DEFAULT_POOL_ANNOTATION = f"{GROUP}/default-pool"
MAX_EVENT = 1024
POOLS = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
_OURS = {"fieldManager": FIELD_MANAGER}


class Watched(Protocol):
    """Objects that watches keep. A read raises ClusterError while they are out of date."""

    def relays(self) -> tuple[RelayPod, ...]:
        """Return running relay pods. Pods that are being deleted count: they still have calls."""

    def nodes(self) -> Mapping[str, Node]:
        """Return all nodes by name, without addresses."""

    def configuration(self) -> Configuration:
        """Return what the relays' ConfigMap has."""

    def annotated(self, relay: RelayPod, revision: str) -> None:
        """Show an annotation that was written, before the watch shows it."""

    def configured(self, uid: str, configuration: Configuration) -> None:
        """Show what the ConfigMap with this uid has after a write, before the watch shows it."""


class Cluster:
    """One cluster, with the relays of one namespace. Every request raises ClusterError when it fails."""

    def __init__(self, api: ApiServer, definition: Mapping[str, Any], policy: TrustPolicy, watched: Watched) -> None:
        self._api = api
        self._policy = policy
        self._namespace = f"/api/v1/namespaces/{policy.namespace}"
        self._schema = spec_schema(definition)
        self._watched = watched

    async def read_view(self) -> ClusterView:
        """Read pools, and add what watches keep."""
        pools, versions = await self._pools()
        relays, found, written = self._watched.relays(), self._watched.nodes(), self._watched.configuration()
        if any(pool.spec is not None and pool.spec.advertise.source == "NodeExternalIP" for pool in pools):
            found = await self.nodes_with_addresses()
        return ClusterView(pools, relays, found, written.text, versions, written.default_pool)

    async def _pools(self) -> tuple[tuple[Pool, ...], Mapping[str, str]]:
        """Return pools of all namespaces, and their resource versions by uid."""
        request = "list rtppools"
        items = read_items(request, await self._api.read(request, POOLS))
        versions = {item["metadata"]["uid"]: str(item["metadata"].get("resourceVersion")) for item in items}
        return tuple(map(self._parse, items)), versions

    def _parse(self, item: Mapping[str, Any]) -> Pool:
        if self._policy.is_honoured(item["metadata"]["namespace"]):
            return parse_pool(item, self._schema)
        return parse_without_spec(item)

    async def nodes_with_addresses(self) -> Mapping[str, Node]:
        """Return all nodes by name. Only pools that advertise an ExternalIP need these ten times as many bytes."""
        request = "list nodes"
        document = await self._api.read(request, "/api/v1/nodes", {"resourceVersion": "0"})
        return {node["metadata"]["name"]: node_of(node) for node in read_items(request, document)}

    async def write(self, text: str, *, exists: bool) -> None:
        """Write `pools.json`."""
        if exists:
            await self._patch_config_map({"data": {FILE_NAME: text}}, text)
            return
        body = {
            "metadata": {"name": CONFIG_MAP_NAME, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
            "data": {FILE_NAME: text},
        }
        request = f"create configmap {CONFIG_MAP_NAME}"
        path = f"{self._namespace}/configmaps"
        self._show(request, await self._api.write(request, "POST", path, body, query=_OURS), text)

    async def record_default_pool(self, name: str) -> None:
        """Record the name of a default pool that exists."""
        change = {"metadata": {"annotations": {DEFAULT_POOL_ANNOTATION: name}}}
        await self._patch_config_map(change, self._watched.configuration().text or "")

    async def _patch_config_map(self, change: Mapping[str, Any], text: str) -> None:
        request = f"patch configmap {CONFIG_MAP_NAME}"
        path = f"{self._namespace}/configmaps/{CONFIG_MAP_NAME}"
        self._show(request, await self._merge(request, path, change), text)

    def _show(self, request: str, response: bytes, text: str) -> None:
        document = {**read_document(request, response), "data": {FILE_NAME: text}}
        self._watched.configured(document["metadata"]["uid"], configuration_of(document))

    async def _merge(self, request: str, path: str, change: Mapping[str, Any]) -> bytes:
        """Merge a change into an object, and return its metadata."""
        return await self._api.write(
            request, "PATCH", path, change, content_type=MERGE_PATCH, query=_OURS, accept=ONLY_METADATA
        )

    async def apply_default_pool(self, document: Mapping[str, Any]) -> None:
        """Create the default pool, or take over the fields of the document, with those of the chart's former hook."""
        name = document["metadata"]["name"]
        path = _pool_path(self._policy.namespace, name)
        request = f"rtppool {self._policy.namespace}/{name}"
        standing = await self._api.find(f"get {request}", path)
        fields = without_hook(standing["metadata"].get("managedFields") or []) if standing is not None else None
        if standing is not None and fields is not None:
            body = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": standing["metadata"]["resourceVersion"]},
                {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            ]
            await self._api.write(
                f"take over {request}", "PATCH", path, body, content_type=JSON_PATCH, query=_OURS, accept=ONLY_METADATA
            )
        await self._api.write(
            f"apply {request}",
            "PATCH",
            path,
            document,
            content_type=APPLY_PATCH,
            query={"fieldManager": VALUES_MANAGER, "force": "true"},
        )

    async def refresh(self, relay: RelayPod, revision: str) -> None:
        """Annotate a relay's pod, so that the kubelet refreshes its mounts at once. Ignore a pod that is gone."""
        path = f"{self._namespace}/pods/{relay.name}/status"
        try:
            await self._merge(
                f"annotate pod {relay.name}", path, {"metadata": {"annotations": {REFRESH_ANNOTATION: revision}}}
            )
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise
        self._watched.annotated(relay, revision)

    async def write_status(self, pool: Pool, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Replace a pool's status, and return it as stored: an older definition drops unknown fields.

        Return None when the pool is gone, was created again, or changed at the same moment. The next round retries.
        """
        body = [
            {"op": "test", "path": "/metadata/uid", "value": pool.uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        request, path = f"patch status of {pool.key}", f"{_pool_path(pool.namespace, pool.name)}/status"
        try:
            response = await self._api.write(request, "PATCH", path, body, content_type=JSON_PATCH, query=_OURS)
        except ClusterError as error:
            # A failed test is a 422 without a field. A status that the definition rejects is a 422 with one.
            if error.status in {NOT_FOUND, CONFLICT} or (error.status == UNPROCESSABLE and error.unnamed):
                return None
            raise
        written = read_document(request, response).get("status")
        return written if isinstance(written, Mapping) else {}

    async def create_event(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
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
            "message": event.message[:MAX_EVENT],
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": f"{GROUP}/{FIELD_MANAGER}",
            "reportingInstance": reporter,
            "firstTimestamp": now.isoformat(),
            "lastTimestamp": now.isoformat(),
            "count": 1,
        }
        path = f"/api/v1/namespaces/{pool.namespace}/events"
        await self._api.write(f"create event on {pool.key}", "POST", path, body)


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


def _pool_path(namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"
