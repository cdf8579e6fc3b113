"""A client of the API server for one account: paths and JSON, without the operator's client library."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec

from lab.faults.operator.api.api_server import Account

REQUEST_SECONDS = 10.0
WATCH_SECONDS = 300
NOT_FOUND, NOT_NOW, SERVER_ERROR = 404, 429, 500
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
# etcd accepts objects of up to 1.5 MB, and a watch event holds one of them.
MAX_LINE = 4 << 20
MAX_SHOWN = 400
JSON = "application/json"
_METADATA = "application/json;as={kind};g=meta.k8s.io;v=v1"
METADATA_OF_LIST, METADATA_OF_EVENT = (
    _METADATA.format(kind=kind) for kind in ("PartialObjectMetadataList", "PartialObjectMetadata")
)


class ApiUnavailable(Exception):  # noqa: N818 an outcome that a run may survive
    """The server gave no answer. The request may have been carried out."""


class ApiRefused(Exception):  # noqa: N818 as above
    """The server refused the request with this HTTP `status`."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """An event of a watch. `kind` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    kind: str
    document: dict[str, Any]


class Server(Protocol):
    """The place of an API server."""

    @property
    def url(self) -> str:
        """Its URL."""

    def trust(self) -> ssl.SSLContext:
        """Return the TLS context of a client."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API server that another process runs. Without a `certificate` it is plain HTTP."""

    url: str
    certificate: Path | None = None

    def trust(self) -> ssl.SSLContext:
        """Return the TLS context of a client."""
        return ssl.create_default_context(cafile=None if self.certificate is None else str(self.certificate))


class ApiClient:
    """A client that authenticates as one account."""

    def __init__(self, server: Server, account: Account) -> None:
        self._server = server
        self._headers = {"Authorization": f"Bearer {account.token}", "Accept": JSON}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return an object or a list."""
        return await self.request("GET", path, query=query)

    async def find(self, path: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        try:
            return await self.get(path)
        except ApiRefused as refused:
            if refused.status == NOT_FOUND:
                return None
            raise

    async def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Return the objects of a list."""
        return list((await self.get(path, **query))["items"])

    async def create(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object below the path of its list."""
        return await self.request("POST", path, document)

    async def patch(self, path: str, change: Any, content_type: str = MERGE, **query: str) -> dict[str, Any]:
        """Patch an object."""
        return await self.request("PATCH", path, change, content_type, query)

    async def delete(self, path: str) -> None:
        """Delete an object without a grace period; one that does not exist is fine."""
        try:
            await self.request("DELETE", path, query={"gracePeriodSeconds": "0"})
        except ApiRefused as refused:
            if refused.status != NOT_FOUND:
                raise

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            ApiUnavailable: no answer within ten seconds, a broken connection, or an answer of 429 or at least 500.
            ApiRefused: any other answer that is not 2xx.
        """
        headers = self._headers | {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        data = None if body is None else json.dumps(body)
        try:
            async with (await self._sessions()).request(
                method,
                f"{self._server.url}{path}",
                params=query,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            ) as response:
                text = await response.text("utf-8")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnavailable(f"{method} {path}: {error or type(error).__name__}") from error
        if response.status >= SERVER_ERROR or response.status == NOT_NOW:
            # The server is starting ("storage is (re)initializing"), or etcd does not answer.
            raise ApiUnavailable(f"{method} {path}: {response.status} {text[:MAX_SHOWN]}")
        if not response.ok:
            raise ApiRefused(f"{method} {path}: {response.status} {text[:MAX_SHOWN]}", response.status)
        answer: dict[str, Any] = msgspec.json.decode(text)
        return answer

    async def metadata(self, path: str) -> dict[str, Any]:
        """Return a list with the metadata of its objects alone. `items` is None in an empty list."""
        return await self.request("GET", path, accept=METADATA_OF_LIST)

    async def watch(self, path: str, revision: str, accept: str = JSON) -> AsyncIterator[WatchEvent]:
        """Yield the events after a list's resourceVersion until the server ends the watch.

        Raises:
            ApiUnavailable: the connection breaks.
        """
        query = {"watch": "true", "resourceVersion": revision, "timeoutSeconds": str(WATCH_SECONDS)}
        try:
            async with (await self._sessions()).get(
                f"{self._server.url}{path}",
                params=query,
                headers=self._headers | {"Accept": accept},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS),
            ) as response:
                async for line in response.content:
                    event = msgspec.json.decode(line)
                    yield WatchEvent(event["type"], event["object"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            raise ApiUnavailable(f"watch {path}: {error or type(error).__name__}") from error

    async def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._server.trust(), limit=0)
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=MAX_LINE)
        return self._session
