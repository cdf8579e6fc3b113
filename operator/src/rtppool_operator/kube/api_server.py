"""Requests to the Kubernetes API, with limits of time and typed failures.

Bodies stay plain JSON: to build the client's own objects for 200 pods takes longer than the rest of a round.
"""

from __future__ import annotations

import logging
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from kubernetes import aio

CONNECT_SECONDS = 3
# A request with its connection, its answer included.
READ_SECONDS, WRITE_SECONDS = 13, 8
FIRST_REFUSAL, FIRST_FAILURE = 400, 500
# The pause after a response of 429: its Retry-After, up to a limit that keeps a wrong value from stopping the operator.
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 10.0
MAX_REASON = 300
JSON = "application/json"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
# A whole pod has 20 kB, of which most requests need the metadata.
ONLY_METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"


class ClusterError(Exception):
    """A request that the API server rejected or did not receive. The message has the request and the reason.

    `status` is the HTTP status; None without a response. `unnamed`: the rejection names no field and no object, as for
    a JSON patch whose test fails.
    """

    def __init__(self, message: str, status: int | None = None, *, unnamed: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.unnamed = unnamed

    @property
    def is_refusal(self) -> bool:
        """Whether the API server would reject the same request again."""
        return (
            self.status is not None
            and FIRST_REFUSAL <= self.status < FIRST_FAILURE
            and self.status != HTTPStatus.TOO_MANY_REQUESTS
        )


class ApiServer:
    """The API server of a cluster. `request` is a request's name in messages.

    An overloaded API server answers 429 and asks for a pause. `throttled` is the number of such responses. A request
    that is not `urgent` fails during a pause. All methods raise ClusterError when the API server rejects the request,
    can't be reached, or does not answer in time.
    """

    def __init__(self, client: aio.client.ApiClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._paused_until_seconds = 0.0
        self.throttled = 0

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def read(
        self,
        request: str,
        path: str,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        *,
        seconds: float = READ_SECONDS,
        urgent: bool = False,
    ) -> dict[str, Any]:
        """Return the document of a path."""
        limits = aiohttp.ClientTimeout(seconds, sock_connect=CONNECT_SECONDS)
        async with self._response(request, "GET", path, limits, query, accept, urgent=urgent) as response:
            return read_document(request, await response.read())

    async def find(self, request: str, path: str, seconds: float = READ_SECONDS) -> dict[str, Any] | None:
        """Return the document of a path; None where the API server has none. It is urgent."""
        try:
            return await self.read(request, path, seconds=seconds, urgent=True)
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def write(
        self,
        request: str,
        method: str,
        path: str,
        body: Any,
        *,
        query: Mapping[str, str] | None = None,
        metadata_only: bool = False,
        content_type: str = "",
        urgent: bool = False,
    ) -> bytes:
        """Write an object, and return the body of the response. A list is a JSON patch, and an object a merge patch."""
        if not content_type:
            patch = JSON_PATCH if isinstance(body, list) else MERGE_PATCH
            content_type = patch if method == "PATCH" else JSON
        limits = aiohttp.ClientTimeout(WRITE_SECONDS, sock_connect=CONNECT_SECONDS)
        accept = ONLY_METADATA if metadata_only else JSON
        async with self._response(request, method, path, limits, query, accept, content_type, body, urgent) as response:
            return await response.read()

    async def apply(
        self, request: str, path: str, document: Mapping[str, Any], manager: str, *, urgent: bool = False
    ) -> None:
        """Apply an object server-side, with the fields of other managers."""
        query = {"fieldManager": manager, "force": "true"}
        await self.write(request, "PATCH", path, document, query=query, content_type=APPLY_PATCH, urgent=urgent)

    @asynccontextmanager
    async def stream(
        self, request: str, path: str, query: Mapping[str, str], accept: str, silent_seconds: float
    ) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Open a stream of documents. It ends with an error after as many seconds without a byte."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silent_seconds)
        async with self._response(request, "GET", path, limits, query, accept, urgent=True) as response:
            yield _documents(request, response)

    @asynccontextmanager
    async def _response(
        self,
        request: str,
        method: str,
        path: str,
        limits: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None,
        accept: str,
        content_type: str = JSON,
        body: Any = None,
        urgent: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if not urgent and self._monotonic() < self._paused_until_seconds:
            raise ClusterError(
                f"{request}: the API server is overloaded and asked for a pause", HTTPStatus.TOO_MANY_REQUESTS
            )
        headers = {"Accept": accept, **({} if body is None else {"Content-Type": content_type})}
        try:
            call = await self._client.param_serialize(
                method,
                path,
                query_params=[*(query or {}).items()],
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*call, _request_timeout=limits)
            async with answer.response as response:
                if not response.ok:
                    raise await self._rejection(request, response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ClusterError(f"{request}: the API server can't be reached ({reason})"[:MAX_REASON]) from error

    async def _rejection(self, request: str, response: aiohttp.ClientResponse) -> ClusterError:
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._pause(response.headers.get("Retry-After", ""))
        try:
            status = read_document(request, await response.read())
        except ClusterError:
            status = {}
        reason = f"{response.status} {status.get('message') or response.reason}"[:MAX_REASON]
        details = status.get("details")
        named = isinstance(details, dict) and bool(details.get("causes") or details.get("name"))
        return ClusterError(f"{request}: {reason}", response.status, unnamed=not named)

    def _pause(self, retry_after: str) -> None:
        """Begin a pause of as many seconds as the header names."""
        self.throttled += 1
        seconds = min(float(retry_after), MAX_PAUSE_SECONDS) if retry_after.isdecimal() else PAUSE_SECONDS
        self._paused_until_seconds = self._monotonic() + seconds


async def connect() -> ApiServer:
    """Connect to the cluster of this pod, or else of the user's kubeconfig.

    Raises:
        ClusterError: there is neither.
    """
    configuration = aio.client.Configuration()
    try:
        aio.config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except aio.config.ConfigException:
        await _load_kubeconfig(configuration)
    configuration.proxy = configuration.proxy or find_proxy(configuration.host)
    # With `trust_env`, aiohttp reads the environment for each request, and ~/.netrc in a thread.
    configuration.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    return ApiServer(aio.client.ApiClient(configuration))


def find_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL (`https_proxy`, `no_proxy`); None without one."""
    address = urlsplit(url)
    if urllib.request.proxy_bypass(address.hostname or ""):
        return None
    return urllib.request.getproxies().get(address.scheme)


async def _load_kubeconfig(configuration: aio.client.Configuration) -> None:
    # It logs that there is no file. The error says so as well.
    logging.getLogger(aio.config.kube_config.__name__).setLevel(logging.ERROR)
    try:
        await aio.config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except aio.config.ConfigException as error:
        raise ClusterError(f"no cluster is configured, by a service account or by KUBECONFIG: {error}") from error


def read_document(request: str, response: bytes) -> dict[str, Any]:
    """Return a response, which is a JSON object.

    Raises:
        ClusterError: it is not.
    """
    try:
        document = msgspec.json.decode(response)
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"{request}: the response is not JSON ({error})"[:MAX_REASON]) from error
    if not isinstance(document, dict):
        raise ClusterError(f"{request}: the response is not an object")
    return document


def read_items(request: str, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a list.

    Raises:
        ClusterError: the document is no list.
    """
    items = document.get("items")
    if items is None and "items" in document:
        # The API server writes null for an empty list of metadata.
        return []
    if not isinstance(items, list):
        raise ClusterError(f"{request}: the response is not a list")
    return items


async def _documents(request: str, response: aiohttp.ClientResponse) -> AsyncIterator[Mapping[str, Any]]:
    try:
        while line := await response.content.readline():
            yield read_document(request, line)
    except ValueError as error:
        raise ClusterError(f"{request}: an event is too long ({error})") from error
