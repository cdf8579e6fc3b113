"""The objects of one path of the Kubernetes API, as JSON: their list, and the stream of their changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtppool_operator.kube.api_server import FORBIDDEN, JSON, ONLY_METADATA, ApiServer, ClusterError

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


class NamedObject(ObjectList):
    """Lists and watches one object of a path. Where a role grants `get` alone, as in 0.1.0, it is read by name."""

    def __init__(self, api: ApiServer, kind: str, path: str, name: str) -> None:
        super().__init__(api, f"{kind} {name}", path, {"fieldSelector": f"metadata.name={name}"})
        self._object_path = f"{path}/{name}"

    async def read(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return a list of the object, which is empty without it."""
        try:
            return await super().read(query)
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
        found = await self._api.find(f"get {self.name}", self._object_path)
        if found is None:
            return {"metadata": {"resourceVersion": "0"}, "items": []}
        return {"metadata": found["metadata"], "items": [found]}
