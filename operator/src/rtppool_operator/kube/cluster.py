"""The Kubernetes API as the operator uses it. All calls block, with timeouts.

Responses stay plain JSON: to build the client's own objects for 200 pods takes longer than the rest of a round.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Protocol

import kubernetes
import urllib3
from kubernetes.client import ApiException

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME, FILE_NAME, REFRESH_ANNOTATION
from rtppool_operator.pools.cluster_view import ClusterView, Node, RelayPod
from rtppool_operator.pools.default_pool import FIELD_MANAGER as VALUES_MANAGER
from rtppool_operator.pools.default_pool import without_hook
from rtppool_operator.pools.event import PoolEvent
from rtppool_operator.pools.parsing import parse_pool, parse_without_spec
from rtppool_operator.pools.schema import spec_schema
from rtppool_operator.pools.spec import CRD_NAME, GROUP, KIND, PLURAL, VERSION, Pool
from rtppool_operator.pools.trust import TrustPolicy

RELAY_PORT_NAME = "http"
CONNECT_SECONDS = 3
READ_SECONDS = (CONNECT_SECONDS, 10)
WRITE_SECONDS = (CONNECT_SECONDS, 5)
NOT_FOUND, CONFLICT, UNPROCESSABLE, TOO_MANY = 404, 409, 422, 429
FIRST_REFUSAL, FIRST_FAILURE = 400, 500
# The pause after a response of 429: its Retry-After, up to a limit that keeps a wrong value from stopping the operator.
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 10.0
FIELD_MANAGER = "rtp-pool-operator"
# On the ConfigMap of the relays, which an uninstall keeps.
DEFAULT_POOL_ANNOTATION = f"{GROUP}/default-pool"
MAX_EVENT = 1024
MAX_REASON = 300
READS = 2
CONNECTIONS = 32
# The response to a write is not used, and a whole pod has 20 kB. An edit of a pool annotates hundreds of pods.
ONLY_METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"


class ClusterError(Exception):
    """A request that the API server rejected or did not receive. The message has the request and the reason.

    `status` is the HTTP status; None without a response. `unnamed`: the rejection names no field and no object, as for
    a JSON patch whose test fails.
    """

    def __init__(self, message: str, status: int | None = None, *, unnamed: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.unnamed = unnamed

    @property
    def is_refusal(self) -> bool:
        """Whether the API server would reject the same request again."""
        return self.status is not None and FIRST_REFUSAL <= self.status < FIRST_FAILURE and self.status != TOO_MANY


class Throttle:
    """The pause that an overloaded API server asks for by a response of 429. `count` is their number."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until_seconds = 0.0
        self.count = 0

    def check(self, request: str) -> None:
        """Raise ClusterError during a pause."""
        if self._monotonic() < self._until_seconds:
            raise ClusterError(f"{request}: the API server is overloaded and asked for a pause", TOO_MANY)

    def pause(self, retry_after: str) -> None:
        """Begin a pause of as many seconds as the header names."""
        self.count += 1
        seconds = min(float(retry_after), MAX_PAUSE_SECONDS) if retry_after.isdecimal() else PAUSE_SECONDS
        self._until_seconds = self._monotonic() + seconds


class Watched(Protocol):
    """Objects that watches keep. A read raises ClusterError while they are out of date."""

    def relays(self) -> tuple[RelayPod, ...]:
        """Return running relay pods. Pods that are being deleted count: they still have calls."""

    def nodes(self) -> Mapping[str, Node]:
        """Return all nodes by name, without addresses."""

    def annotated(self, relay: RelayPod, revision: str) -> None:
        """Show an annotation that was written, before the watch shows it."""


class Cluster:
    """One cluster, with the relays of one namespace. `read_view` needs `watched`."""

    def __init__(
        self,
        client: kubernetes.client.ApiClient,
        definition: Mapping[str, Any],
        policy: TrustPolicy,
        throttle: Throttle | None = None,
        watched: Watched | None = None,
    ) -> None:
        self._core = kubernetes.client.CoreV1Api(client)
        self._custom = kubernetes.client.CustomObjectsApi(client)
        self._extensions = kubernetes.client.ApiextensionsV1Api(client)
        self._leases = kubernetes.client.CoordinationV1Api(client)
        self._policy = policy
        self._namespace = policy.namespace
        self._schema = spec_schema(definition)
        self._throttle = throttle or Throttle()
        self._watched = watched
        self._reads = ThreadPoolExecutor(READS, thread_name_prefix="read")

    @property
    def throttled(self) -> int:
        """The number of responses of 429."""
        return self._throttle.count

    def read_view(self) -> ClusterView:
        """Read pools and the configuration in parallel, and add what watches keep.

        Raises:
            ClusterError: one of the reads failed, or a watch has nothing current.
        """
        if self._watched is None:
            raise ClusterError("this program does not watch the cluster")
        listed = self._reads.submit(self._pools)
        written = self._reads.submit(self.configuration)
        pools, versions = listed.result()
        relays, found = self._watched.relays(), self._watched.nodes()
        if any(pool.spec is not None and pool.spec.advertise.source == "NodeExternalIP" for pool in pools):
            found = self.nodes_with_addresses()
        text, default_pool = written.result()
        return ClusterView(pools, relays, found, text, versions, default_pool)

    def _pools(self) -> tuple[tuple[Pool, ...], Mapping[str, str]]:
        """Return pools of all namespaces, and their resource versions by uid."""
        response = self._list("list rtppools", self._custom.list_cluster_custom_object, GROUP, VERSION, PLURAL)
        items = _items("list rtppools", response)
        versions = {item["metadata"]["uid"]: str(item["metadata"].get("resourceVersion")) for item in items}
        return tuple(map(self._parse, items)), versions

    def _parse(self, item: Mapping[str, Any]) -> Pool:
        if self._policy.is_honoured(item["metadata"]["namespace"]):
            return parse_pool(item, self._schema)
        return parse_without_spec(item)

    def list_pods(self, selector: str) -> list[dict[str, Any]]:
        """Return pods of the operator's namespace by labels."""
        request = f"list pods in {self._namespace}"
        response = self._list(
            request, self._core.list_namespaced_pod, self._namespace, label_selector=selector, resource_version="0"
        )
        return _items(request, response)

    def nodes_with_addresses(self) -> Mapping[str, Node]:
        """Return all nodes by name. Only pools that advertise an ExternalIP need these ten times as many bytes."""
        response = self._list("list nodes", self._core.list_node, resource_version="0")
        return {node["metadata"]["name"]: node_of(node) for node in _items("list nodes", response)}

    def configuration(self) -> tuple[str | None, str | None]:
        """Return `pools.json` (None without the ConfigMap), and the recorded name of the default pool."""
        request = f"get configmap {CONFIG_MAP_NAME}"
        found = self._get(request, self._core.read_namespaced_config_map, CONFIG_MAP_NAME, self._namespace)
        if found is None:
            return None, None
        recorded = ((found.get("metadata") or {}).get("annotations") or {}).get(DEFAULT_POOL_ANNOTATION)
        return (found.get("data") or {}).get(FILE_NAME, ""), recorded

    def write(self, text: str, *, exists: bool) -> None:
        """Write `pools.json`."""
        if exists:
            self._write(
                f"patch configmap {CONFIG_MAP_NAME}",
                self._core.patch_namespaced_config_map,
                CONFIG_MAP_NAME,
                self._namespace,
                {"data": {FILE_NAME: text}},
                field_manager=FIELD_MANAGER,
                _headers={"Accept": ONLY_METADATA},
            )
            return
        body = {
            "metadata": {"name": CONFIG_MAP_NAME, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
            "data": {FILE_NAME: text},
        }
        self._write(
            f"create configmap {CONFIG_MAP_NAME}",
            self._core.create_namespaced_config_map,
            self._namespace,
            body,
            field_manager=FIELD_MANAGER,
        )

    def record_default_pool(self, name: str) -> None:
        """Record the name of a default pool that exists."""
        self._write(
            f"patch configmap {CONFIG_MAP_NAME}",
            self._core.patch_namespaced_config_map,
            CONFIG_MAP_NAME,
            self._namespace,
            {"metadata": {"annotations": {DEFAULT_POOL_ANNOTATION: name}}},
            field_manager=FIELD_MANAGER,
            _headers={"Accept": ONLY_METADATA},
        )

    def apply_default_pool(self, document: Mapping[str, Any]) -> None:
        """Create the default pool, or take over the fields of the document, with those of the chart's former hook."""
        name = document["metadata"]["name"]
        key = (GROUP, VERSION, self._namespace, PLURAL, name)
        request = f"rtppool {self._namespace}/{name}"
        standing = self._get(f"get {request}", self._custom.get_namespaced_custom_object, *key)
        fields = without_hook(standing["metadata"].get("managedFields") or []) if standing is not None else None
        if standing is not None and fields is not None:
            body = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": standing["metadata"]["resourceVersion"]},
                {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            ]
            self._patch_pool(f"take over {request}", key, body, "application/json-patch+json", FIELD_MANAGER)
        self._patch_pool(f"apply {request}", key, document, "application/apply-patch+yaml", VALUES_MANAGER, force=True)

    def _patch_pool(
        self, request: str, key: tuple[str, ...], body: Any, content_type: str, manager: str, **options: Any
    ) -> None:
        self._write(
            request,
            self._custom.patch_namespaced_custom_object,
            *key,
            body,
            field_manager=manager,
            _content_type=content_type,
            **options,
        )

    def refresh(self, relay: RelayPod, revision: str) -> None:
        """Annotate a relay's pod, so that the kubelet refreshes its mounts at once. Ignore a pod that is gone."""
        try:
            self._write(
                f"annotate pod {relay.name}",
                self._core.patch_namespaced_pod_status,
                relay.name,
                self._namespace,
                {"metadata": {"annotations": {REFRESH_ANNOTATION: revision}}},
                field_manager=FIELD_MANAGER,
                _headers={"Accept": ONLY_METADATA},
            )
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise

    def annotated(self, relay: RelayPod, revision: str) -> None:
        """Show an annotation that was written, before the watch shows it."""
        if self._watched is not None:
            self._watched.annotated(relay, revision)

    def write_status(self, pool: Pool, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Replace a pool's status, and return it as stored: an older definition drops unknown fields.

        Return None when the pool is gone, was created again, or changed at the same moment. The next round retries.
        """
        body = [
            {"op": "test", "path": "/metadata/uid", "value": pool.uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        request = f"patch status of {pool.key}"
        try:
            response = self._write(
                request,
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
            # A failed test is a 422 without a field. A status that the definition rejects is a 422 with one.
            if error.status in {NOT_FOUND, CONFLICT} or (error.status == UNPROCESSABLE and error.unnamed):
                return None
            raise
        written = read_document(request, response).get("status")
        return written if isinstance(written, Mapping) else {}

    def create_event(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
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
        self._write(f"create event on {pool.key}", self._core.create_namespaced_event, pool.namespace, body)

    def definition(self) -> dict[str, Any] | None:
        """Return the CRD of the cluster; None without one."""
        return self._get(f"get crd {CRD_NAME}", self._extensions.read_custom_resource_definition, CRD_NAME)

    def serves_pools(self) -> bool:
        """Return whether the API server serves `/apis/rtppool.dev/v1alpha1`."""
        request = f"get /apis/{GROUP}/{VERSION}"
        return self._get(request, self._custom.get_api_resources, GROUP, VERSION) is not None

    def apply_definition(self, document: Mapping[str, Any], manager: str) -> None:
        """Apply the CRD server-side, with the fields of other managers."""
        self._write(
            f"apply crd {CRD_NAME}",
            self._extensions.patch_custom_resource_definition,
            CRD_NAME,
            document,
            field_manager=manager,
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    def lease(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return a Lease; None without one."""
        return self._get(
            f"get lease {name}", self._leases.read_namespaced_lease, name, namespace, seconds=WRITE_SECONDS
        )

    def write_lease(self, namespace: str, name: str, lease: Mapping[str, Any], *, exists: bool) -> bool:
        """Create or replace a Lease; return False when it changed in the meantime."""
        try:
            if exists:
                self._call(
                    f"update lease {name}", self._leases.replace_namespaced_lease, WRITE_SECONDS, name, namespace, lease
                )
            else:
                self._call(
                    f"create lease {name}", self._leases.create_namespaced_lease, WRITE_SECONDS, namespace, lease
                )
        except ClusterError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True

    def _get(
        self, request: str, call: Any, *arguments: Any, seconds: tuple[int, int] = READ_SECONDS
    ) -> dict[str, Any] | None:
        try:
            return read_document(request, self._call(request, call, seconds, *arguments))
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _list(self, request: str, call: Any, *arguments: Any, **options: Any) -> bytes:
        self._throttle.check(request)
        return self._call(request, call, READ_SECONDS, *arguments, **options)

    def _write(self, request: str, call: Any, *arguments: Any, **options: Any) -> bytes:
        # Leases and the definition are exempt: few, and a lease can't wait.
        self._throttle.check(request)
        return self._call(request, call, WRITE_SECONDS, *arguments, **options)

    def _call(self, request: str, call: Any, seconds: tuple[int, int], *arguments: Any, **options: Any) -> bytes:
        try:
            response = call(*arguments, **options, _preload_content=False, _request_timeout=seconds)
            return bytes(response.data)
        except ApiException as error:
            if error.status == TOO_MANY:
                self._throttle.pause((error.headers or {}).get("Retry-After", ""))
            raise ClusterError(f"{request}: {_reason(error)}", error.status, unnamed=_is_unnamed(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"{request}: the API server can't be reached ({error})"[:MAX_REASON]) from error


def connect(
    definition: Mapping[str, Any],
    policy: TrustPolicy,
    throttle: Throttle | None = None,
    watched: Watched | None = None,
) -> Cluster:
    """Connect to the cluster of this pod, or else of the user's kubeconfig.

    Raises:
        ClusterError: there is neither.
    """
    configuration = load_configuration()
    # The next round retries. The client's own retries would log each attempt and hide the error.
    configuration.retries = False
    configuration.connection_pool_maxsize = CONNECTIONS
    return Cluster(kubernetes.client.ApiClient(configuration), definition, policy, throttle, watched)


def load_configuration() -> kubernetes.client.Configuration:
    """Return the configuration for the cluster of this pod, or else of the user's kubeconfig.

    Raises:
        ClusterError: there is neither.
    """
    configuration = kubernetes.client.Configuration()
    try:
        try:
            kubernetes.config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except kubernetes.config.ConfigException as error:
        raise ClusterError(f"no cluster is configured, by a service account or by KUBECONFIG: {error}") from error
    return configuration


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


def read_document(request: str, response: bytes) -> dict[str, Any]:
    """Return a response, which is a JSON object.

    Raises:
        ClusterError: it is not.
    """
    try:
        document = json.loads(response)
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"{request}: the response is not JSON ({error})"[:MAX_REASON]) from error
    if not isinstance(document, dict):
        raise ClusterError(f"{request}: the response is not an object")
    return document


def _items(request: str, response: bytes) -> list[dict[str, Any]]:
    document = read_document(request, response)
    items = document.get("items")
    if items is None and "items" in document:
        # The API server writes null for an empty list of metadata.
        return []
    if not isinstance(items, list):
        raise ClusterError(f"{request}: the response is not a list")
    return items


def read_refusal(body: str | bytes | None) -> Mapping[str, Any]:
    """Return the Status in the body of a rejection; empty without one."""
    try:
        document = json.loads(body or "")
    except (ValueError, TypeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_unnamed(error: ApiException) -> bool:
    details = read_refusal(error.body).get("details")
    return not isinstance(details, dict) or not (details.get("causes") or details.get("name"))


def _reason(error: ApiException) -> str:
    return f"{error.status} {read_refusal(error.body).get('message') or error.reason}"[:MAX_REASON]
