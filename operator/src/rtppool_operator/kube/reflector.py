"""A cache of the cluster's objects: a list, and a watch that keeps it current.

The API server may lose an event, and a watch may go silent. Each watch therefore ends after ten minutes, and the list
before the next one shows what it missed. A list of the very version that a watch has reached is compared with the cache
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).

The cache never goes back in time. An API server whose own cache is behind may answer with an older list, for example
after a restart (https://github.com/kubernetes/kubernetes/issues/59848). Such a list is refused, and so is an older
object.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from rtppool_operator.kube.api_server import JSON, ONLY_METADATA, ApiServer, ClusterError, read_items

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600
# Pauses after a list and a watch that together lasted for less than the last of these.
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)
# The cache of an API server that starts is behind for seconds. A store that was restored from a backup stays behind.
MAX_REFUSED_SECONDS = 60.0
# A server sends a bookmark about once a minute. A stream without a byte for longer is dead.
SILENT_SECONDS = 75.0
# Ownership needs a node's labels alone: a tenth of the bytes.
ONLY_LISTED_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"

Kept = TypeVar("Kept")


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
            if error.status != HTTPStatus.FORBIDDEN:
                raise
        found = await self._api.find(f"get {self.name}", self._object_path)
        if found is None:
            return {"metadata": {"resourceVersion": "0"}, "items": []}
        return {"metadata": found["metadata"], "items": [found]}


def _ignore(_before: object, _after: object) -> None:
    """Do nothing: no caller waits for changes."""


class Reflector(Generic[Kept]):
    """Keeps what `keep` makes of each object, by uid, without those of which it makes None.

    `items` is never changed, only replaced. After that `changed` is called with the item before and after, both None
    for a list. `problem` says why `items` may be out of date; None while they are current. `corrections` counts objects
    that the watch before a list had missed.
    """

    def __init__(
        self,
        objects: ObjectList,
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
        # The version of the last list, which an unknown object must be newer than, and the latest version of all.
        self._listed = self._latest = 0
        self._refused_at_seconds: float | None = None
        self._round: asyncio.Timeout | None = None
        self._is_trusted = True
        self.items: Mapping[str, Kept] = {}
        self.problem: str | None = f"{objects.name} were not listed yet"
        self.corrections = 0

    def current(self) -> Mapping[str, Kept]:
        """Return the items, or raise ClusterError while they may be out of date."""
        if self.problem is not None:
            raise ClusterError(self.problem)
        return self.items

    async def run(self) -> None:
        """List and watch until cancelled."""
        version, failures, told = "", 0, ""
        while True:
            began = self._monotonic()
            try:
                version = await self._list_and_watch(version)
            except ClusterError as error:
                version = ""
                if str(error) != told:
                    log.warning("the cache of %s starts over: %s", self.name, error)
                told = str(error)
            if not self._is_trusted:
                continue
            failures = failures + 1 if self._monotonic() < began + PAUSES_SECONDS[-1] else 0
            told = told if failures else ""
            if failures:
                await asyncio.sleep(PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1])

    def list_anew(self) -> None:
        """Trust no item until the next list, which begins at once."""
        self._is_trusted = False
        self.problem = f"{self.name} are being listed"
        if self._round is not None:
            self._round.reschedule(asyncio.get_running_loop().time())
            self._round = None

    def put(self, uid: str, version: str, item: Kept) -> None:
        """Keep an item as a write of this program left it, so that the event of the write is none.

        `item` has to be made of the whole object as the API server returned it: earlier events no longer count.
        """
        number = self._seen(version)
        if number > self._version_of(uid):
            self._versions[uid] = number
            self.items = {**self.items, uid: item}

    def amend(self, uid: str, version: str, change: Callable[[Kept], Kept]) -> None:
        """Change a part of an item as a write of this program did, until the next event of the object.

        The write made it `version`. Earlier events of the object still count, because they have the other parts.
        """
        item = self.items.get(uid)
        if item is not None:
            self.items = {**self.items, uid: change(item)}
            self._amended[uid] = self._seen(version)

    def take(self, kind: str, document: Mapping[str, Any]) -> None:
        """Take an event, of this watch or of another one of the same objects. What is older than an item is ignored."""
        metadata = document["metadata"]
        uid, version = metadata["uid"], self._seen(metadata["resourceVersion"])
        if 0 < version <= self._version_of(uid):
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

    async def _list_and_watch(self, version: str) -> str:
        """Return the version that the watch has reached; none after `list_anew`."""
        reached, self._is_trusted = version if self._is_trusted else "", True
        try:
            async with asyncio.timeout(None) as self._round:
                return await self._watch(await self._list(reached))
        except TimeoutError:
            if self._is_trusted:
                raise
            return ""
        finally:
            self._round = None

    async def _list(self, reached: str) -> str:
        """Replace the items by those of a list, and return its version. `reached` is the version of a whole watch."""
        latest = self._latest
        try:
            document = await self._read(reached)
            version, listed = str(document["metadata"]["resourceVersion"]), read_items(f"list {self.name}", document)
            if version != reached:
                self._check_age(_number(version), latest)
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
        self._replace(_number(version), found, versions)
        self._changed(None, None)
        return version

    def _check_age(self, version: int, latest: int) -> None:
        """Refuse a list that is older than the latest version before its request, for a minute."""
        if not 0 < version < latest:
            self._refused_at_seconds = None
            return
        now = self._monotonic()
        if self._refused_at_seconds is None:
            self._refused_at_seconds = now
        if now < self._refused_at_seconds + MAX_REFUSED_SECONDS:
            raise ClusterError(f"list {self.name}: the API server is behind, its list is older than an earlier answer")
        log.warning("%s have been older than before for %.0f s, so that state counts", self.name, MAX_REFUSED_SECONDS)
        self._refused_at_seconds, self._latest, self._versions = None, 0, {}

    def _replace(self, version: int, found: Mapping[str, Kept], versions: Mapping[str, int]) -> None:
        """Take the objects of a list, but for those of which a newer version came from elsewhere."""
        newer = {uid: each for uid, each in self._versions.items() if each > version > 0}
        standing = {uid: item for uid, item in self.items.items() if uid in newer}
        self.items = {uid: item for uid, item in found.items() if uid not in newer} | standing
        self._versions, self._amended = {**versions, **newer}, {}
        self._listed, self._latest = version, max(self._latest, version)

    def _seen(self, version: str) -> int:
        """Note a version that the API server has answered with, and return its number."""
        number = _number(version)
        self._latest = max(self._latest, number)
        return number

    def _version_of(self, uid: str) -> int:
        """Return the version of an object. One that the last list lacks was gone at the version of that list."""
        return self._versions.get(uid, self._listed)

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
        """Take events until the server ends the watch, and return the latest version that it has reached."""
        async with self._objects.changes(version, RESYNC_SECONDS) as events:
            async for event in events:
                try:
                    kind, document = event["type"], event["object"]
                    if kind == "ERROR":
                        raise ClusterError(f"watch {self.name}: {document.get('code')} {document.get('message')}")
                    if kind != "BOOKMARK":
                        self.take(kind, document)
                    version = max(str(document["metadata"]["resourceVersion"]), version, key=self._seen)
                except (KeyError, TypeError) as error:
                    raise ClusterError(f"watch {self.name}: an event can't be read ({error!r})") from error
        return version


def _number(version: str) -> int:
    """Return a resource version as a number, which grows with each write to objects of a kind.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
    """
    return int(version) if version.isdecimal() else 0
