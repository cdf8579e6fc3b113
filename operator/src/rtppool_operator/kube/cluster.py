"""What the operator writes to the cluster: `pools.json`, annotations, statuses, events and the default pool."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME, FILE_NAME, REFRESH_ANNOTATION
from rtppool_operator.kube.api_server import (
    CONFLICT,
    JSON_PATCH,
    MERGE_PATCH,
    NOT_FOUND,
    ONLY_METADATA,
    UNPROCESSABLE,
    ApiServer,
    ClusterError,
    read_document,
)
from rtppool_operator.kube.documents import DEFAULT_POOL_ANNOTATION
from rtppool_operator.kube.watches import ClusterWatches
from rtppool_operator.pools.cluster_view import ClusterView, RelayPod
from rtppool_operator.pools.default_pool import FIELD_MANAGER as VALUES_MANAGER
from rtppool_operator.pools.default_pool import without_hook
from rtppool_operator.pools.event import PoolEvent
from rtppool_operator.pools.spec import GROUP, KIND, PLURAL, VERSION, Pool

FIELD_MANAGER = "rtp-pool-operator"
MAX_EVENT = 1024
_OURS = {"fieldManager": FIELD_MANAGER}


class Cluster:
    """One cluster, with the relays of one namespace. Every request raises ClusterError when it fails.

    A write shows in `watches` at once.
    """

    def __init__(self, api: ApiServer, namespace: str, watches: ClusterWatches) -> None:
        self._api = api
        self._relays_namespace = namespace
        self._namespace = f"/api/v1/namespaces/{namespace}"
        self._watches = watches

    def read_view(self) -> ClusterView:
        """Return the cluster as the watches show it."""
        return self._watches.view()

    def list_anew(self) -> None:
        """Have no view until all objects were listed again."""
        self._watches.list_anew()

    async def write(self, text: str, *, exists: bool) -> None:
        """Write `pools.json`."""
        if exists:
            await self._patch_config_map({"data": {FILE_NAME: text}})
            return
        body = {
            "metadata": {"name": CONFIG_MAP_NAME, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
            "data": {FILE_NAME: text},
        }
        request = f"create configmap {CONFIG_MAP_NAME}"
        written = await self._api.write(request, "POST", f"{self._namespace}/configmaps", body, query=_OURS)
        self._watches.configured(_object(request, written))

    async def record_default_pool(self, name: str) -> None:
        """Record the name of a default pool that exists."""
        await self._patch_config_map({"metadata": {"annotations": {DEFAULT_POOL_ANNOTATION: name}}})

    async def _patch_config_map(self, change: Mapping[str, Any]) -> None:
        request = f"patch configmap {CONFIG_MAP_NAME}"
        path = f"{self._namespace}/configmaps/{CONFIG_MAP_NAME}"
        written = await self._api.write(request, "PATCH", path, change, content_type=MERGE_PATCH, query=_OURS)
        self._watches.configured(_object(request, written))

    async def apply_default_pool(self, document: Mapping[str, Any]) -> None:
        """Create the default pool, or take over the fields of the document, with those of the chart's former hook."""
        name = document["metadata"]["name"]
        path = _pool_path(self._relays_namespace, name)
        request = f"rtppool {self._relays_namespace}/{name}"
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
        await self._api.apply(f"apply {request}", path, document, VALUES_MANAGER)

    async def refresh(self, relay: RelayPod, revision: str) -> None:
        """Annotate a relay's pod, so that the kubelet refreshes its mounts at once. Ignore a pod that is gone."""
        path = f"{self._namespace}/pods/{relay.name}/status"
        request, change = f"annotate pod {relay.name}", {"metadata": {"annotations": {REFRESH_ANNOTATION: revision}}}
        version = "0"
        try:
            written = await self._api.write(
                request, "PATCH", path, change, content_type=MERGE_PATCH, query=_OURS, accept=ONLY_METADATA
            )
            version = _object(request, written)["metadata"]["resourceVersion"]
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise
        self._watches.annotated(relay, revision, version)

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
        written = _object(request, response)
        self._watches.status_written(written)
        stored = written.get("status")
        return stored if isinstance(stored, Mapping) else {}

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


def _pool_path(namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"


def _object(request: str, response: bytes) -> Mapping[str, Any]:
    """Return an object of the API server."""
    document = read_document(request, response)
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not {"uid", "resourceVersion"} <= metadata.keys():
        raise ClusterError(f"{request}: the response is no object of the cluster")
    return document
