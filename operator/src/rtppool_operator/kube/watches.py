"""The cluster as watches keep it: pools, relay pods, nodes and the relays' ConfigMap.

kopf does not say when it has listed, what a second list of its own lacks, or that its watch is silent. The pools
therefore have a cache as all other objects. An event that kopf delivers first changes it, and the other one is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.kube.api_server import ApiServer, ClusterError
from rtppool_operator.kube.documents import configuration_of, node_of, relay_of
from rtppool_operator.kube.object_list import NamedObject, ObjectList
from rtppool_operator.kube.reflector import Reflector
from rtppool_operator.pools.cluster_view import ClusterView, Configuration, Node, RelayPod
from rtppool_operator.pools.parsing import parse_pool, parse_without_spec
from rtppool_operator.pools.schema import spec_schema
from rtppool_operator.pools.spec import GROUP, PLURAL, VERSION, Pool
from rtppool_operator.pools.trust import TrustPolicy

POOLS = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
NODES = "/api/v1/nodes"


class ClusterWatches:
    """Watches all pools and nodes, and in one namespace the relays by their labels and their ConfigMap by its name.

    `changed` is called when the view may have changed otherwise than by a write of this program, and `status_changed`
    when the status of a pool alone has.
    """

    def __init__(
        self,
        api: ApiServer,
        definition: Mapping[str, Any],
        policy: TrustPolicy,
        relay_selector: str,
        changed: Callable[[], None],
        status_changed: Callable[[], None],
    ) -> None:
        self._schema = spec_schema(definition)
        self._policy = policy
        self._changed = changed
        self._status_changed = status_changed
        namespace = policy.namespace
        path = f"/api/v1/namespaces/{namespace}"
        pods = ObjectList(api, f"pods in {namespace}", f"{path}/pods", {"labelSelector": relay_selector})
        config_map = NamedObject(api, "configmap", f"{path}/configmaps", CONFIG_MAP_NAME)
        labelled = ObjectList(api, "nodes", NODES, metadata_only=True)
        self._pools: Reflector[Pool] = Reflector(ObjectList(api, PLURAL, POOLS), self._parse, self._note_pool)
        self._relays: Reflector[RelayPod] = Reflector(pods, relay_of, self._note)
        self._configuration: Reflector[Configuration] = Reflector(config_map, configuration_of, self._note)
        self._nodes: Reflector[Node] = Reflector(labelled, node_of, self._note)
        self._addressed: Reflector[Node] = Reflector(
            ObjectList(api, "nodes with addresses", NODES), node_of, self._note
        )
        self._addresses_needed = asyncio.Event()
        self._caches: tuple[Reflector[Any], ...] = (
            self._pools,
            self._relays,
            self._nodes,
            self._addressed,
            self._configuration,
        )

    @property
    def corrections(self) -> int:
        """The number of objects that lists have shown otherwise than the watches before them."""
        return sum(each.corrections for each in self._caches)

    @property
    def problem(self) -> str | None:
        """Why there is no view; None when there is one."""
        try:
            self.view()
        except ClusterError as error:
            return str(error)
        return None

    def view(self) -> ClusterView:
        """Return the cluster as the watches show it.

        Raises:
            ClusterError: one of the caches is out of date.
        """
        pools = sorted(_current(self._pools).values(), key=lambda pool: pool.key)
        relays = sorted(_current(self._relays).values(), key=lambda relay: relay.name)
        found = _current(self._nodes)
        # Only pools that advertise an ExternalIP need whole nodes, which have ten times as many bytes.
        if any(pool.spec is not None and pool.spec.advertise.source == "NodeExternalIP" for pool in pools):
            self._addresses_needed.set()
            found = _current(self._addressed)
        nodes = {node.name: node for node in sorted(found.values(), key=lambda node: node.name)}
        written = next(iter(_current(self._configuration).values()), Configuration())
        return ClusterView(tuple(pools), tuple(relays), nodes, written.text, written.default_pool)

    def list_anew(self) -> None:
        """Have no view until all objects were listed again."""
        for cache in self._caches:
            cache.list_anew()

    def take_pool(self, kind: str, document: Mapping[str, Any]) -> None:
        """Take an event of kopf's watch."""
        self._pools.take(kind, document)

    def status_written(self, document: Mapping[str, Any]) -> None:
        """Show a pool as the write of its status returned it. It may have an edit that no watch has delivered yet."""
        metadata, pool = document["metadata"], self._parse(document)
        shown = self._pools.items.get(pool.uid)
        self._pools.put(pool.uid, metadata["resourceVersion"], pool)
        if shown is None or replace(shown, status=pool.status) != pool:
            self._changed()

    def annotated(self, relay: RelayPod, revision: str, version: str) -> None:
        """Show an annotation that was written. A silent watch must not have it written again and again."""
        self._relays.amend(relay.uid, version, lambda shown: replace(shown, revision=revision))

    def configured(self, config_map: Mapping[str, Any]) -> None:
        """Show the ConfigMap as a write returned it, for the same reason."""
        metadata = config_map["metadata"]
        self._configuration.put(metadata["uid"], metadata["resourceVersion"], configuration_of(config_map))

    async def run(self, jobs: PeriodicJobs, served: asyncio.Event) -> None:
        """Watch until cancelled; pools as soon as they are served."""
        now = asyncio.Event()
        now.set()
        begin = {self._pools: served, self._addressed: self._addresses_needed}
        async with asyncio.TaskGroup() as tasks:
            for cache in self._caches:
                job = partial(_run_after, begin.get(cache, now), cache)
                tasks.create_task(jobs.keep_running(f"watch of {cache.name}", job))

    def _note(self, _before: object, _after: object) -> None:
        self._changed()

    def _note_pool(self, before: Pool | None, after: Pool | None) -> None:
        if before is not None and after is not None and replace(before, status=after.status) == after:
            self._status_changed()
        else:
            self._changed()

    def _parse(self, document: Mapping[str, Any]) -> Pool:
        metadata = document["metadata"]
        if self._policy.is_honoured(metadata["namespace"]):
            return parse_pool(document, self._schema, self._pools.items.get(metadata["uid"]))
        return parse_without_spec(document)


async def _run_after(event: asyncio.Event, cache: Reflector[Any]) -> None:
    await event.wait()
    await cache.run()


def _current(reflector: Reflector[Any]) -> Mapping[str, Any]:
    if reflector.problem is not None:
        raise ClusterError(reflector.problem)
    return reflector.items
