"""The relay pods, the nodes and the relays' ConfigMap, kept by watches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.kube.api_server import ApiServer, ClusterError
from rtppool_operator.kube.cluster import configuration_of, node_of, relay_of
from rtppool_operator.kube.object_list import ObjectList
from rtppool_operator.kube.reflector import Reflector
from rtppool_operator.pools.cluster_view import Configuration, Node, RelayPod


class ClusterWatches:
    """Watches a namespace's relays, by their labels, its ConfigMap by name, and all nodes without addresses."""

    def __init__(self, api: ApiServer, namespace: str, relay_selector: str) -> None:
        path = f"/api/v1/namespaces/{namespace}"
        pods = ObjectList(api, f"pods in {namespace}", f"{path}/pods", {"labelSelector": relay_selector})
        named = {"fieldSelector": f"metadata.name={CONFIG_MAP_NAME}"}
        config_map = ObjectList(api, f"configmap {CONFIG_MAP_NAME}", f"{path}/configmaps", named)
        nodes = ObjectList(api, "nodes", "/api/v1/nodes", metadata_only=True)
        self._relays: Reflector[RelayPod] = Reflector(pods, relay_of)
        self._nodes: Reflector[Node] = Reflector(nodes, node_of)
        self._configuration: Reflector[Configuration] = Reflector(config_map, configuration_of)

    @property
    def corrections(self) -> int:
        """The number of objects that lists have shown otherwise than the watches before them."""
        return self._relays.corrections + self._nodes.corrections + self._configuration.corrections

    def relays(self) -> tuple[RelayPod, ...]:
        """Return running relay pods, by name.

        Raises:
            ClusterError: they are out of date.
        """
        return tuple(sorted(_current(self._relays).values(), key=lambda relay: relay.name))

    def nodes(self) -> Mapping[str, Node]:
        """Return all nodes by name, without addresses.

        Raises:
            ClusterError: they are out of date.
        """
        return {node.name: node for node in sorted(_current(self._nodes).values(), key=lambda node: node.name)}

    def configuration(self) -> Configuration:
        """Return what the relays' ConfigMap has.

        Raises:
            ClusterError: it is out of date.
        """
        return next(iter(_current(self._configuration).values()), Configuration())

    def annotated(self, relay: RelayPod, revision: str) -> None:
        """Show an annotation that was written. A silent watch must not have it written again and again."""
        shown = self._relays.items.get(relay.uid)
        if shown is not None:
            self._relays.put(relay.uid, replace(shown, revision=revision))

    def configured(self, uid: str, configuration: Configuration) -> None:
        """Show what the ConfigMap has after a write, for the same reason."""
        self._configuration.put(uid, configuration)

    async def run(self, jobs: PeriodicJobs) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(jobs.keep_running("watch of pods", self._relays.run))
            tasks.create_task(jobs.keep_running("watch of nodes", self._nodes.run))
            tasks.create_task(jobs.keep_running("watch of the configuration", self._configuration.run))


def _current(reflector: Reflector[Any]) -> Mapping[str, Any]:
    if reflector.problem is not None:
        raise ClusterError(reflector.problem)
    return reflector.items
