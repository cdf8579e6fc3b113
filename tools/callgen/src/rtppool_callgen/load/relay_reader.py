"""Reads a relay's documents over HTTP, within bounds."""

from __future__ import annotations

import json
from typing import Any, Self

import aiohttp

from rtppool_core.contract.codec import ContractError, from_json
from rtppool_core.contract.report import Report

READ_SECONDS = 5.0
# Two hundred records and as many live calls are about half a MiB.
MAX_BYTES = 16 << 20
ASKS_FOR_TOKEN = 401


class RelayUnreadable(Exception):  # noqa: N818 an outcome of asking, told with what to do
    """The relay did not answer, or not as a relay does; a sentence."""


class RelayReader:
    """Use as `async with`. `token` is what the relay's HTTP_TOKEN_FILE holds, empty where it has none."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = aiohttp.ClientTimeout(total=READ_SECONDS)
        self._http = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        if self._http is not None:
            await self._http.close()

    async def status(self) -> tuple[Report, dict[str, Any]]:
        """`/status`, typed and as it came: what an older relay does not say is missing only in the latter.

        Raises:
            RelayUnreadable: no report.
        """
        document = await self.document("/status")
        try:
            return from_json(Report, document), document
        except ContractError as error:
            raise RelayUnreadable(f"{self.url}/status is not what a relay of this version answers: {error}") from error

    async def document(self, path: str) -> dict[str, Any]:
        """A JSON object.

        Raises:
            RelayUnreadable: none.
        """
        if self._http is None:
            raise RuntimeError("RelayReader is used outside of its async with")
        try:
            async with self._http.get(self.url + path) as response:
                if response.status == ASKS_FOR_TOKEN:
                    raise RelayUnreadable(f"{self.url} asks for its token; give it in RELAY_TOKEN or RELAY_TOKEN_FILE")
                if not response.ok:
                    raise RelayUnreadable(f"{self.url}{path} answers {response.status}")
                return self._object(path, await self._body(path, response))
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or f"no answer within {READ_SECONDS:g} s"
            raise RelayUnreadable(f"{self.url}{path} can't be read: {reason}") from error

    async def _body(self, path: str, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > MAX_BYTES:
                raise RelayUnreadable(f"{self.url}{path} answers more than {MAX_BYTES >> 20} MiB")
        return bytes(body)

    def _object(self, path: str, body: bytes) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except ValueError as error:
            raise RelayUnreadable(f"{self.url}{path} is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise RelayUnreadable(f"{self.url}{path} is no JSON object")
        return document
