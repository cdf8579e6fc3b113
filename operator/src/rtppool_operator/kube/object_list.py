"""The objects of one path of the Kubernetes API, as JSON: their list, and the stream of their changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtppool_operator.kube.api_server import JSON, ONLY_METADATA, ApiServer

# A server sends a bookmark about once a minute. A stream without a byte for longer is dead.
SILENT_SECONDS = 75.0
# Ownership needs a node's labels alone: a tenth of the bytes.
ONLY_LISTED_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


class ObjectList:
    """Lists and watches the objects of a path that a `selector` selects. `name` is theirs in messages.

    All methods raise ClusterError when the API server rejects the request, can't be reached, or is silent.
    """

    def __init__(
        self,
        api: ApiServer,
        name: str,
        path: str,
        selector: Mapping[str, str] | None = None,
        *,
        metadata_only: bool = False,
    ) -> None:
        self._api = api
        self.name = name
        self._path = path
        self._selector = selector or {}
        self._accept_list = ONLY_LISTED_METADATA if metadata_only else JSON
        self._accept_changes = ONLY_METADATA if metadata_only else JSON

    async def read(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return a list."""
        return await self._api.read(f"list {self.name}", self._path, {**query, **self._selector}, self._accept_list)

    def changes(self, version: str, seconds: int) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, Any]]]:
        """Watch from a version of a list on, for at most so many seconds. The iterator yields the watch's events."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            **self._selector,
        }
        return self._api.stream(f"watch {self.name}", self._path, query, self._accept_changes, SILENT_SECONDS)
