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

from rtppool_operator.kube.api_server import ClusterError, read_items

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


def _ignore(_before: object, _after: object) -> None:
    """Do nothing: no caller waits for changes."""


class Reflector(Generic[Kept]):
    """Keeps what `keep` makes of each object, by uid, without those of which it makes None.

    `items` is never changed, only replaced. After that `changed` is called with the item before and after, both None
    for a list. `problem` says why `items` may be out
    of date; None while they are current. `corrections` counts objects that the watch before a list had missed.
    """

    def __init__(
        self,
        objects: Objects,
        keep: Callable[[Mapping[str, Any]], Kept | None],
        changed: Callable[[Kept | None, Kept | None], None] = _ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = objects.name
        self._objects = objects
        self._keep = keep
        self._changed = changed
        self._monotonic = monotonic
        self._versions: dict[str, int] = {}
        # Of items that were amended since the last list.
        self._amended: dict[str, int] = {}
        self.items: Mapping[str, Kept] = {}
        self.problem: str | None = f"{objects.name} were not listed yet"
        self.corrections = 0

    async def run(self) -> None:
        """List and watch until cancelled."""
        version, failures, told = "", 0, ""
        while True:
            began = self._monotonic()
            try:
                version = await self._list(version)
                version = await self._watch(version)
            except ClusterError as error:
                version = ""
                if str(error) != told:
                    log.warning("the cache of %s starts over: %s", self.name, error)
                told = str(error)
            failures = failures + 1 if self._monotonic() < began + PAUSES_SECONDS[-1] else 0
            told = told if failures else ""
            if failures:
                await asyncio.sleep(PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1])

    def put(self, uid: str, version: str, item: Kept) -> None:
        """Keep an item as a write of this program left it, so that the event of the write is none.

        `item` has to be made of the whole object as the API server returned it: earlier events no longer count.
        """
        if _number(version) > self._versions.get(uid, 0):
            self._versions[uid] = _number(version)
            self.items = {**self.items, uid: item}

    def amend(self, uid: str, version: str, change: Callable[[Kept], Kept]) -> None:
        """Change a part of an item as a write of this program did, until the next event of the object.

        The write made it `version`. Earlier events of the object still count, because they have the other parts.
        """
        item = self.items.get(uid)
        if item is not None:
            self.items = {**self.items, uid: change(item)}
            self._amended[uid] = _number(version)

    def take(self, kind: str, document: Mapping[str, Any]) -> None:
        """Take an event, of this watch or of another one of the same objects. What is older than an item is ignored."""
        metadata = document["metadata"]
        uid, version = metadata["uid"], _number(metadata["resourceVersion"])
        if 0 < version <= self._versions.get(uid, 0):
            return
        kept = None if kind == "DELETED" else self._keep(document)
        # A deleted object keeps its version: the other watch may still deliver an older event.
        self._versions[uid] = version
        before = self.items.get(uid)
        if kept == before:
            return
        items = dict(self.items)
        if kept is None:
            del items[uid]
        else:
            items[uid] = kept
        self.items = items
        self._changed(before, kept)

    async def _list(self, reached: str) -> str:
        """Replace the items by those of a list, and return its version. `reached` is the version of a whole watch."""
        try:
            document = await self._read(reached)
            version, listed = str(document["metadata"]["resourceVersion"]), read_items(f"list {self.name}", document)
            versions = {each["metadata"]["uid"]: _number(each["metadata"]["resourceVersion"]) for each in listed}
            kept = {each["metadata"]["uid"]: self._keep(each) for each in listed}
        except ClusterError as error:
            self.problem = str(error)
            raise
        except (KeyError, TypeError) as error:
            self.problem = f"list {self.name}: the response is not a list"
            raise ClusterError(self.problem) from error
        found = {uid: each for uid, each in kept.items() if each is not None}
        if reached == version:
            self.corrections += sum(1 for uid in found.keys() | self.items.keys() if self._missed(uid, found, reached))
        self.problem = None
        self.items, self._versions, self._amended = found, versions, {}
        self._changed(None, None)
        return version

    def _missed(self, uid: str, found: Mapping[str, Kept], reached: str) -> bool:
        """Return whether the watch should have shown another item. What came from elsewhere since is newer."""
        latest = max(self._versions.get(uid, 0), self._amended.get(uid, 0))
        return found.get(uid) != self.items.get(uid) and latest <= _number(reached)

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
                    raise ClusterError(f"watch {self.name}: an event can't be read ({error!r})") from error
        return version

    def _take(self, kind: str, document: Mapping[str, Any]) -> str:
        if kind == "ERROR":
            raise ClusterError(f"watch {self.name}: {document.get('code')} {document.get('message')}")
        if kind != "BOOKMARK":
            self.take(kind, document)
        return str(document["metadata"]["resourceVersion"])


def _number(version: str) -> int:
    """Return a resource version as a number, which grows with each write to objects of a kind.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
    """
    return int(version) if version.isdecimal() else 0
