"""A cache of the cluster's objects: a list, and a watch that keeps it current.

The API server may lose an event, and a watch may go silent. Each watch therefore ends after ten minutes, and the list
before the next one shows what it missed. A list of the very version that a watch has reached is compared with the cache
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, Generic, Protocol, TypeVar

from rtppool_operator.kube.api_server import ClusterError

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600
# Pauses after a list and a watch that together lasted for less than the last of these.
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)

Kept = TypeVar("Kept")


class Objects(Protocol):
    """The objects of one path of the API, by their name in messages."""

    name: str

    async def read(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return a list, or raise `ClusterError`."""

    def changes(self, version: str, seconds: int) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, Any]]]:
        """Watch from a version on, or raise `ClusterError`."""


class Reflector(Generic[Kept]):
    """Keeps what `keep` makes of each object, by uid, without those of which it makes None.

    `items` is never changed, only replaced. `problem` says why `items` may be out of
    date; None while they are current. `corrections` counts objects that the watch before a list had missed.
    """

    def __init__(
        self,
        objects: Objects,
        keep: Callable[[Mapping[str, Any]], Kept | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects = objects
        self._keep = keep
        self._monotonic = monotonic
        self.items: Mapping[str, Kept] = {}
        self.problem: str | None = f"{objects.name} were not listed yet"
        self.corrections = 0

    async def run(self) -> None:
        """List and watch until cancelled."""
        version, failures = "", 0
        while True:
            began = self._monotonic()
            try:
                version = await self._list(version)
                version = await self._watch(version)
            except ClusterError as error:
                version = ""
                log.warning("the cache of %s starts over: %s", self._objects.name, error)
            failures = failures + 1 if self._monotonic() < began + PAUSES_SECONDS[-1] else 0
            if failures:
                await asyncio.sleep(PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1])

    def put(self, uid: str, item: Kept) -> None:
        """Keep an item as a write of this program left it, before the watch shows it."""
        self.items = {**self.items, uid: item}

    async def _list(self, reached: str) -> str:
        """Replace the items by those of a list, and return its version. `reached` is the version of a whole watch."""
        try:
            document = await self._read(reached)
            metadata, found = document["metadata"], self._kept_of(document.get("items") or [])
            version = str(metadata["resourceVersion"])
        except ClusterError as error:
            self.problem = str(error)
            raise
        except (KeyError, TypeError) as error:
            self.problem = f"list {self._objects.name}: the response is not a list"
            raise ClusterError(self.problem) from error
        if reached == version:
            uids = found.keys() | self.items.keys()
            self.corrections += sum(1 for uid in uids if found.get(uid) != self.items.get(uid))
        self.problem = None
        self.items = found
        return version

    async def _read(self, reached: str) -> Mapping[str, Any]:
        if reached:
            try:
                return await self._objects.read({"resourceVersion": reached, "resourceVersionMatch": "Exact"})
            except ClusterError as error:
                # The server no longer has this version.
                if error.status not in {HTTPStatus.GONE, HTTPStatus.BAD_REQUEST}:
                    raise
        return await self._objects.read({})

    async def _watch(self, version: str) -> str:
        """Take events until the server ends the watch, and return the version that it has reached."""
        async with self._objects.changes(version, RESYNC_SECONDS) as events:
            async for event in events:
                try:
                    version = self._take(event["type"], event["object"])
                except (KeyError, TypeError) as error:
                    raise ClusterError(f"watch {self._objects.name}: an event can't be read ({error!r})") from error
        return version

    def _take(self, kind: str, document: Mapping[str, Any]) -> str:
        if kind == "ERROR":
            raise ClusterError(f"watch {self._objects.name}: {document.get('code')} {document.get('message')}")
        metadata = document["metadata"]
        if kind != "BOOKMARK":
            uid = metadata["uid"]
            kept = None if kind == "DELETED" else self._keep(document)
            if kept != self.items.get(uid):
                items = dict(self.items)
                if kept is None:
                    del items[uid]
                else:
                    items[uid] = kept
                self.items = items
        return str(metadata["resourceVersion"])

    def _kept_of(self, documents: list[Mapping[str, Any]]) -> dict[str, Kept]:
        kept = {document["metadata"]["uid"]: self._keep(document) for document in documents}
        return {uid: each for uid, each in kept.items() if each is not None}
