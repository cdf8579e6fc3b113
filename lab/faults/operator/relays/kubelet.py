"""A simulated kubelet of all nodes: it mounts `pools.json` into the pods of the simulated relays.

It renews a pod's mount 0.35 s after a change of the operator's annotation, and otherwise every minute, as a real
kubelet was measured to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lab.faults.operator.api.api_client import JSON, METADATA_OF_EVENT, ApiClient, ApiRefused, ApiUnavailable
from lab.faults.operator.api.resources import CONFIG_MAPS, PODS, Document
from lab.faults.operator.relays.fake_relay import FakeRelay
from lab.faults.operator.relays.mounted_file import generations
from rtppool_core.contract.pools_file import CONFIG_MAP_NAME, FILE_NAME, REFRESH_ANNOTATION

REFRESH_SECONDS = 0.35
SYNC_SECONDS = 60.0
RETRY_SECONDS = 0.2

_Read = Callable[[str], Awaitable[dict[str, Any]]]
_OnDocument = Callable[[str, Document], None]


class Kubelet:
    """Follows pods and ConfigMap. `read` hands a relay the text of its mounted file.

    `published_at_seconds` is the arrival of each generation of a pool's uid in the ConfigMap, monotonic.
    `older_configurations` counts files in which a pool has an older generation than in an earlier one.
    """

    def __init__(self, api: ApiClient, by_pod: Mapping[str, FakeRelay], read: Callable[[FakeRelay, str], None]) -> None:
        self.config: str | None = None
        self.published_at_seconds: dict[tuple[str, int], float] = {}
        self.older_configurations = 0
        self._latest: dict[str, int] = {}
        self._api = api
        self._by_pod = by_pod
        self._read = read
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Follow the objects from now on."""
        follows = (self._follow_pods(), self._follow_config(), self._sync())
        self._tasks += map(asyncio.create_task, follows)

    async def close(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mount(self, relay: FakeRelay) -> None:
        """Renew a pod's mount. Without a file a relay keeps the last good one."""
        if self.config is not None and relay.mounted != self.config:
            self._read(relay, self.config)

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            for relay in self._by_pod.values():
                self.mount(relay)

    async def _follow_pods(self) -> None:
        # Metadata has the annotation, at a fraction of a pod's size.
        await self._follow(PODS, self._api.metadata, METADATA_OF_EVENT, self._on_pod)

    async def _follow_config(self) -> None:
        await self._follow(CONFIG_MAPS, self._api.get, JSON, self._on_config)

    async def _follow(self, path: str, read: _Read, accept: str, on_document: _OnDocument) -> None:
        while True:
            with contextlib.suppress(ApiUnavailable, ApiRefused):
                listed = await read(path)
                for document in listed["items"] or ():
                    on_document("MODIFIED", document)
                async for event in self._api.watch(path, listed["metadata"]["resourceVersion"], accept):
                    if event.kind == "ERROR":
                        break
                    on_document(event.kind, event.document)
            await asyncio.sleep(RETRY_SECONDS)

    def _on_pod(self, kind: str, document: Document) -> None:
        relay = self._by_pod.get(document["metadata"]["name"])
        if relay is None or kind == "DELETED":
            return
        revision = document["metadata"].get("annotations", {}).get(REFRESH_ANNOTATION)
        if revision == relay.revision:
            return
        relay.revision = revision
        relay.annotated_at_seconds = time.monotonic()
        if relay.renewal is not None:
            relay.renewal.cancel()
        relay.renewal = asyncio.get_running_loop().call_later(REFRESH_SECONDS, self.mount, relay)

    def _on_config(self, kind: str, document: Document) -> None:
        if document["metadata"]["name"] != CONFIG_MAP_NAME:
            return
        self.config = None if kind == "DELETED" else document.get("data", {}).get(FILE_NAME)
        now_seconds = time.monotonic()
        found = generations(self.config or "")
        for key in found:
            self.published_at_seconds.setdefault(key, now_seconds)
        self.older_configurations += any(generation < self._latest.get(uid, 0) for uid, generation in found)
        self._latest |= dict(found)
