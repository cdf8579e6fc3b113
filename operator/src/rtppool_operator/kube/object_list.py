"""The objects of one path of the Kubernetes API, as JSON: their list, and the stream of their changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
from kubernetes import aio
from kubernetes.aio.client import ApiClient

from rtppool_operator.kube.cluster import (
    CONNECT_SECONDS,
    MAX_REASON,
    ONLY_METADATA,
    ClusterError,
    Throttle,
    load_configuration,
    read_document,
    read_refusal,
)

LIST_SECONDS = 10.0
# A server sends a bookmark about once a minute. A stream without a byte for longer is dead.
SILENT_SECONDS = 75.0
# Ownership needs a node's labels alone: a tenth of the bytes.
ONLY_LISTED_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


class ObjectList:
    """Lists and watches the objects of a path, with a `selector` of labels. `name` is theirs in messages."""

    def __init__(
        self,
        client: ApiClient,
        name: str,
        path: str,
        throttle: Throttle,
        *,
        selector: str | None = None,
        metadata_only: bool = False,
    ) -> None:
        self._client = client
        self.name = name
        self._path = path
        self._throttle = throttle
        self._selector = {} if selector is None else {"labelSelector": selector}
        self._accept_list = ONLY_LISTED_METADATA if metadata_only else "application/json"
        self._accept_changes = ONLY_METADATA if metadata_only else "application/json"

    async def read(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return a list.

        Raises:
            ClusterError: the API server rejects the request, can't be reached, or answers no list.
        """
        request = f"list {self.name}"
        self._throttle.check(request)
        async with self._response(request, query, self._accept_list, aiohttp.ClientTimeout(LIST_SECONDS)) as response:
            return read_document(request, await response.read())

    @asynccontextmanager
    async def changes(self, version: str, seconds: int) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Watch from a version of a list on, for at most so many seconds. The iterator yields the watch's events.

        Raises:
            ClusterError: the API server rejects the request or can't be reached, or the stream ended or was silent.
        """
        request = f"watch {self.name}"
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        async with self._response(request, query, self._accept_changes, limits) as response:
            yield _events(request, response)

    @asynccontextmanager
    async def _response(
        self, request: str, query: Mapping[str, str], accept: str, limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            call = await self._client.param_serialize(
                "GET",
                self._path,
                query_params=[*{**query, **self._selector}.items()],
                header_params={"Accept": accept},
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*call, _request_timeout=limits)
            async with answer.response as response:
                if response.status != HTTPStatus.OK:
                    raise await self._refusal(request, response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ClusterError(f"{request}: the API server can't be reached ({reason})"[:MAX_REASON]) from error

    async def _refusal(self, request: str, response: aiohttp.ClientResponse) -> ClusterError:
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._throttle.pause(response.headers.get("Retry-After", ""))
        message = read_refusal(await response.read()).get("message") or response.reason
        return ClusterError(f"{request}: {response.status} {message}"[:MAX_REASON], response.status)


async def connect_asynchronously() -> ApiClient:
    """Connect to the cluster of this pod, or else of the user's kubeconfig.

    Raises:
        ClusterError: there is neither.
    """
    # Without a cluster it raises the same sentence as for the other client. The loader below logs lines of its own.
    await asyncio.to_thread(load_configuration)
    configuration = aio.client.Configuration()
    try:
        aio.config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except aio.config.ConfigException:
        await aio.config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return ApiClient(configuration)


async def _events(request: str, response: aiohttp.ClientResponse) -> AsyncIterator[Mapping[str, Any]]:
    try:
        while line := await response.content.readline():
            yield read_document(request, line)
    except ValueError as error:
        raise ClusterError(f"{request}: an event is too long ({error})") from error
