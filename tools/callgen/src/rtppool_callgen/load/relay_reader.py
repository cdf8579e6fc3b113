"""Reads of the relay's documents over HTTP, bounded in time and size."""

from __future__ import annotations

import json
from typing import Any, Self

import aiohttp

from rtppool_core.contract.codec import ContractError, from_json
from rtppool_core.contract.report import Report
from rtppool_core.net.tls_files import TlsFileError, TrustedAuthority

READ_SECONDS = 5.0
# Two hundred records and as many live calls are about half a MiB.
MAX_BYTES = 16 << 20
UNAUTHORIZED = 401


class RelayUnreadable(Exception):  # noqa: N818 an outcome, with a remedy
    """The relay did not answer, or not as a relay does. The message is a sentence."""


class RelayReader:
    """Use as `async with`. `token` is the content of the relay's HTTP_TOKEN_FILE, empty without one.

    Without an `authority`, a URL with https needs a certificate for its host that this machine trusts.
    """

    def __init__(self, url: str, token: str, authority: TrustedAuthority | None = None) -> None:
        self._authority = authority if url.lower().startswith("https://") else None
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
        """Return `/status` typed and raw: only the raw document shows which fields an older relay lacks.

        Raises:
            RelayUnreadable: there is no valid report.
        """
        document = await self.document("/status")
        try:
            return from_json(Report, document), document
        except ContractError as error:
            raise RelayUnreadable(f"{self.url}/status is not a report of this version: {error}") from error

    async def document(self, path: str) -> dict[str, Any]:
        """Return a JSON object.

        Raises:
            RelayUnreadable: there is none.
        """
        if self._http is None:
            raise RuntimeError("RelayReader is used outside of its async with")
        try:
            async with self._http.get(self.url + path, **self._tls()) as response:
                if response.status == UNAUTHORIZED:
                    raise RelayUnreadable(f"{self.url} requires its token; set RELAY_TOKEN or RELAY_TOKEN_FILE")
                if not response.ok:
                    raise RelayUnreadable(f"{self.url}{path} answers {response.status}")
                return self._object(path, await self._body(path, response))
        except TlsFileError as error:
            raise RelayUnreadable(str(error)) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                raise RelayUnreadable(self._certificate_problem(error)) from error
            reason = str(error) or f"no answer within {READ_SECONDS:g} s"
            raise RelayUnreadable(f"{self.url}{path} can't be read: {reason}") from error

    def _tls(self) -> dict[str, Any]:
        if self._authority is None:
            return {}
        return {"ssl": self._authority.context(), "server_hostname": self._authority.server_name}

    def _certificate_problem(self, error: aiohttp.ClientConnectorCertificateError) -> str:
        problem = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
        remedy = self._authority.requirement if self._authority else "set RELAY_CA_FILE and RELAY_TLS_NAME"
        return f"{self.url}: its certificate is not accepted ({problem}); {remedy}"

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
            raise RelayUnreadable(f"{self.url}{path} is not a JSON object")
        return document
