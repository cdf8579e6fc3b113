"""The cluster: pools, relay pods, nodes and the relays' ConfigMap as watches keep them, and the operator's writes.

kopf does not say when it has listed, what a second list of its own lacks, or that its watch is silent. The pools
therefore have a cache as all other objects. An event that kopf delivers first changes it, and the other one is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME, FILE_NAME, REFRESH_ANNOTATION
from rtppool_core.contract.port_range import MAX_PORT
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.kube.api_server import ApiServer, ClusterError, read_document
from rtppool_operator.kube.reflector import NamedObject, ObjectList, Reflector
from rtppool_operator.pools.default_pool import FIELD_MANAGER as VALUES_MANAGER
from rtppool_operator.pools.default_pool import without_hook
from rtppool_operator.pools.parsing import parse_pool, parse_without_spec, spec_schema
from rtppool_operator.pools.spec import (
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    ClusterView,
    Configuration,
    Node,
    Pool,
    PoolEvent,
    RelayPod,
    serving_relays,
)
from rtppool_operator.pools.trust import TrustPolicy

FIELD_MANAGER = "rtp-pool-operator"
MAX_EVENT = 1024
POOLS = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
NODES = "/api/v1/nodes"
# A relay that hands its calls over declares no ports, so that the next one can stand by on the same node.
PORT_ANNOTATION = f"{GROUP}/http-port"
RELAY_PORT_NAME = "http"
# On the ConfigMap of the relays, which an uninstall keeps.
DEFAULT_POOL_ANNOTATION = f"{GROUP}/default-pool"
_OURS = {"fieldManager": FIELD_MANAGER}


class Cluster:
    """One cluster: all pools and nodes, and in the release's namespace the relays by their labels and their ConfigMap.

    Every write raises ClusterError when it fails, and the view shows it at once. `changed` is called when the view may
    have changed otherwise than by a write of this program, with `soon=True` when the status of a pool alone has.
    """

    def __init__(
        self,
        api: ApiServer,
        definition: Mapping[str, Any],
        policy: TrustPolicy,
        relay_selector: str,
        changed: Callable[..., None],
    ) -> None:
        self._api = api
        self._schema = spec_schema(definition)
        self._policy = policy
        self._changed = changed
        self._namespace = f"/api/v1/namespaces/{policy.namespace}"
        pods = ObjectList(
            api, f"pods in {policy.namespace}", f"{self._namespace}/pods", {"labelSelector": relay_selector}
        )
        config_map = NamedObject(api, "configmap", f"{self._namespace}/configmaps", CONFIG_MAP_NAME)
        labelled = ObjectList(api, "nodes", NODES, metadata_only=True)
        addressed = ObjectList(api, "nodes with addresses", NODES)
        self._pools: Reflector[Pool] = Reflector(ObjectList(api, PLURAL, POOLS), self._parse, self._note_pool)
        self._relays: Reflector[RelayPod] = Reflector(pods, relay_of, self._note)
        self._nodes: Reflector[Node] = Reflector(labelled, node_of, self._note)
        self._addressed: Reflector[Node] = Reflector(addressed, node_of, self._note)
        self._configuration: Reflector[Configuration] = Reflector(config_map, configuration_of, self._note)
        self._caches = (self._pools, self._relays, self._nodes, self._addressed, self._configuration)
        self._addresses_needed = asyncio.Event()
        # The nodes of the last view as the cache had them, and by name. A cache replaces its items with each change.
        self._sorted: tuple[Mapping[str, Node], Mapping[str, Node]] = ({}, {})

    @property
    def corrections(self) -> int:
        """The number of objects that lists have shown otherwise than the watches before them."""
        return sum(each.corrections for each in self._caches)

    @property
    def problem(self) -> str | None:
        """Why there is no view; None when there is one."""
        try:
            self.read_view()
        except ClusterError as error:
            return str(error)
        return None

    async def run(self, jobs: PeriodicJobs, served: asyncio.Event) -> None:
        """Watch until cancelled; pools as soon as they are served."""
        now = asyncio.Event()
        now.set()
        begin = {self._pools: served, self._addressed: self._addresses_needed}
        async with asyncio.TaskGroup() as tasks:
            for cache in self._caches:
                job = partial(_run_after, begin.get(cache, now), cache)
                tasks.create_task(jobs.keep_running(f"watch of {cache.name}", job))

    def read_view(self) -> ClusterView:
        """Return the cluster as the watches show it.

        Raises:
            ClusterError: one of the caches is out of date.
        """
        pools = sorted(self._pools.current().values(), key=lambda pool: pool.key)
        relays = serving_relays(self._relays.current().values())
        found = self._nodes.current()
        # Only pools that advertise an ExternalIP need whole nodes, which have ten times as many bytes.
        if any(pool.spec is not None and pool.spec.advertise.source == "NodeExternalIP" for pool in pools):
            self._addresses_needed.set()
            found = self._addressed.current()
        if found is not self._sorted[0]:
            self._sorted = found, {node.name: node for node in sorted(found.values(), key=lambda node: node.name)}
        written = next(iter(self._configuration.current().values()), Configuration())
        return ClusterView(tuple(pools), relays, self._sorted[1], written.text, written.default_pool)

    def list_anew(self) -> None:
        """Have no view until all objects were listed again, because the watches may be behind."""
        for cache in self._caches:
            cache.list_anew()

    def take_pool(self, kind: str, document: Mapping[str, Any]) -> None:
        """Take an event of kopf's watch."""
        self._pools.take(kind, document)

    async def write(self, text: str) -> None:
        """Write `pools.json`. A write that another one has overtaken fails, and the ConfigMap is listed anew.

        So a write of a former leader that reaches the API server late changes nothing.
        """
        standing = next(iter(self._configuration.items.values()), None)
        try:
            if standing is None:
                await self._create_config_map({FILE_NAME: text})
            else:
                await self._patch_config_map(
                    {"metadata": {"resourceVersion": standing.version}, "data": {FILE_NAME: text}}
                )
        except ClusterError as error:
            if error.status == HTTPStatus.CONFLICT:
                self._configuration.list_anew()
            raise

    async def record_default_pool(self, name: str) -> None:
        """Record that a default pool existed, so that a pool that is not managed is made once."""
        await self._patch_config_map({"metadata": {"annotations": {DEFAULT_POOL_ANNOTATION: name}}})

    async def apply_default_pool(self, document: Mapping[str, Any]) -> None:
        """Create the default pool, or take over the fields of the document, with those of the chart's former hook."""
        name, namespace = document["metadata"]["name"], self._policy.namespace
        path, request = _pool_path(namespace, name), f"rtppool {namespace}/{name}"
        standing = await self._api.find(f"get {request}", path)
        fields = without_hook(standing["metadata"].get("managedFields") or []) if standing is not None else None
        if standing is not None and fields is not None:
            body = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": standing["metadata"]["resourceVersion"]},
                {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            ]
            await self._write(f"take over {request}", "PATCH", path, body, metadata_only=True)
        await self._api.apply(f"apply {request}", path, document, VALUES_MANAGER)

    async def refresh(self, relay: RelayPod, revision: str) -> None:
        """Annotate a relay's pod, so that the kubelet refreshes its mounts at once. Ignore a pod that is gone."""
        path, request = f"{self._namespace}/pods/{relay.name}/status", f"annotate pod {relay.name}"
        change = {"metadata": {"annotations": {REFRESH_ANNOTATION: revision}}}
        version = "0"
        try:
            written = await self._write(request, "PATCH", path, change, metadata_only=True)
            version = written["metadata"]["resourceVersion"]
        except ClusterError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        self._show_annotation(relay, revision, version)

    async def write_status(self, pool: Pool, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Replace a pool's status, and return it as stored: an older definition drops unknown fields.

        Return None when the pool is gone, was created again, or changed at the same moment. The next round retries.
        """
        body = [
            {"op": "test", "path": "/metadata/uid", "value": pool.uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = f"{_pool_path(pool.namespace, pool.name)}/status"
        try:
            written = await self._write(f"patch status of {pool.key}", "PATCH", path, body)
        except ClusterError as error:
            # A failed test is a 422 without a field. A status that the definition rejects is a 422 with one.
            gone = error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
            if gone or (error.status == HTTPStatus.UNPROCESSABLE_ENTITY and error.unnamed):
                return None
            raise
        self._show_status(written)
        stored = written.get("status")
        return stored if isinstance(stored, Mapping) else {}

    async def create_event(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
        """Create an event on a pool."""
        now = datetime.now(UTC).isoformat()
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
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        path = f"/api/v1/namespaces/{pool.namespace}/events"
        await self._api.write(f"create event on {pool.key}", "POST", path, body)

    async def _create_config_map(self, data: Mapping[str, str]) -> None:
        metadata = {"name": CONFIG_MAP_NAME, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}}
        path, body = f"{self._namespace}/configmaps", {"metadata": metadata, "data": data}
        self._show_configuration(await self._write(f"create configmap {CONFIG_MAP_NAME}", "POST", path, body))

    async def _patch_config_map(self, change: Mapping[str, Any]) -> None:
        path = f"{self._namespace}/configmaps/{CONFIG_MAP_NAME}"
        written = await self._write(f"patch configmap {CONFIG_MAP_NAME}", "PATCH", path, change)
        self._show_configuration(written)

    async def _write(
        self, request: str, method: str, path: str, body: Any, *, metadata_only: bool = False
    ) -> dict[str, Any]:
        """Write an object as this operator, and return it as stored."""
        written = await self._api.write(request, method, path, body, query=_OURS, metadata_only=metadata_only)
        document = read_document(request, written)
        metadata = document.get("metadata")
        if not isinstance(metadata, Mapping) or not {"uid", "resourceVersion"} <= metadata.keys():
            raise ClusterError(f"{request}: the response is no object of the cluster")
        return document

    def _show_status(self, document: Mapping[str, Any]) -> None:
        """Show a pool as the write of its status returned it. It may have an edit that no watch has delivered yet."""
        metadata, pool = document["metadata"], self._parse(document)
        shown = self._pools.items.get(pool.uid)
        self._pools.put(pool.uid, metadata["resourceVersion"], pool)
        if shown is None or replace(shown, status=pool.status) != pool:
            self._changed()

    def _show_annotation(self, relay: RelayPod, revision: str, version: str) -> None:
        """Show an annotation that was written. A silent watch must not have it written again and again."""
        self._relays.amend(relay.uid, version, lambda shown: replace(shown, revision=revision))

    def _show_configuration(self, config_map: Mapping[str, Any]) -> None:
        """Show the ConfigMap as a write returned it, for the same reason."""
        metadata = config_map["metadata"]
        self._configuration.put(metadata["uid"], metadata["resourceVersion"], configuration_of(config_map))

    def _note(self, _before: object, _after: object) -> None:
        self._changed()

    def _note_pool(self, before: Pool | None, after: Pool | None) -> None:
        edited = before is None or after is None or replace(before, status=after.status) != after
        self._changed(soon=not edited)

    def _parse(self, document: Mapping[str, Any]) -> Pool:
        metadata = document["metadata"]
        if self._policy.is_honoured(metadata["namespace"]):
            return parse_pool(document, self._schema, self._pools.items.get(metadata["uid"]))
        return parse_without_spec(document)


def relay_of(pod: Mapping[str, Any]) -> RelayPod | None:
    """Read a relay's pod; return None before it has a node, and after its end."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    annotations, port = metadata.get("annotations") or {}, _http_port(pod)
    if not spec.get("nodeName") or port is None or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    return RelayPod(
        name=metadata["name"],
        uid=metadata["uid"],
        node=spec["nodeName"],
        address=status.get("podIP"),
        port=port,
        revision=annotations.get(REFRESH_ANNOTATION),
        terminating=metadata.get("deletionTimestamp") is not None,
        created=metadata.get("creationTimestamp") or "",
    )


def _http_port(pod: Mapping[str, Any]) -> int | None:
    """Return the relay's HTTP port: of the annotation, or the declared port `http`."""
    text = (pod["metadata"].get("annotations") or {}).get(PORT_ANNOTATION, "")
    # Python refuses to read a number of thousands of digits.
    if len(text) <= len(str(MAX_PORT)) and text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_PORT:
        return int(text)
    declared = (port for container in pod["spec"]["containers"] for port in container.get("ports") or [])
    return next((int(port["containerPort"]) for port in declared if port.get("name") == RELAY_PORT_NAME), None)


def node_of(node: Mapping[str, Any]) -> Node:
    """Read a node, with or without its status."""
    addresses = (node.get("status") or {}).get("addresses") or []
    external = next((each["address"] for each in addresses if each["type"] == "ExternalIP"), None)
    return Node(node["metadata"]["name"], node["metadata"].get("labels") or {}, external)


def configuration_of(config_map: Mapping[str, Any]) -> Configuration:
    """Read the relays' ConfigMap."""
    metadata, data = config_map["metadata"], config_map.get("data") or {}
    default_pool = (metadata.get("annotations") or {}).get(DEFAULT_POOL_ANNOTATION)
    return Configuration(data.get(FILE_NAME, ""), default_pool, metadata.get("resourceVersion", ""))


def _pool_path(namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"


async def _run_after(event: asyncio.Event, cache: Reflector[Any]) -> None:
    await event.wait()
    await cache.run()
