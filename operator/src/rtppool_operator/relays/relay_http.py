"""Requests to relays: with the token, over TLS where the release uses it, and bounded in time and size."""

from __future__ import annotations

from typing import Any

import aiohttp
from yarl import URL

from rtppool_core.contract.report_changes import NO_CHANGE
from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_core.net.udp import host_port
from rtppool_core.process.secret_file import SecretFile, SecretFileError
from rtppool_operator.pools.spec import RelayPod

OK = 200
MAX_BODY_BYTES = 4 << 20


class RelayHttp:
    """One session for all relays. A request takes at most `timeout_seconds`, and what the relay may hold it."""

    def __init__(self, token: SecretFile | None, authority: TrustedAuthority | None, timeout_seconds: float) -> None:
        self._token = token
        self._authority = authority
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, relay: RelayPod, path: str, wait_seconds: float = 0.0) -> bytes:
        """Return a document of a relay, which may hold the request for `wait_seconds`; empty: nothing has changed.

        Raises:
            Exception: there is none; `reason` makes a sentence of it.
        """
        if relay.address is None:
            raise OSError("the pod has no address yet")
        options: dict[str, Any] = {}
        if self._authority is not None:
            # Relays are reached by address, and one certificate serves all of them.
            options = {"ssl": self._authority.context(), "server_hostname": self._authority.server_name}
        url = f"{'https' if options else 'http'}://{host_port(relay.address, relay.port)}{path}"
        options |= {"headers": self._headers(), "timeout": aiohttp.ClientTimeout(self._timeout_seconds + wait_seconds)}
        async with self._open().get(URL(url, encoded=True), allow_redirects=False, **options) as response:
            if response.status == NO_CHANGE:
                return b""
            if response.status != OK:
                raise OSError(f"it answered {response.status}")
            return await _bounded(response)

    def reason(self, relay: RelayPod, error: BaseException) -> str:
        """Return the failure of a request as a sentence."""
        where = f"{relay.address}:{relay.port}"
        if isinstance(error, TimeoutError):
            return f"{where} did not answer within {self._timeout_seconds:.0f} s"
        if isinstance(error, aiohttp.ClientConnectorCertificateError) and self._authority is not None:
            problem = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            return f"{where}: its certificate is not accepted ({problem}); {self._authority.requirement}"
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            cause = error.os_error.reason or error.os_error
            return f"{where} does not speak TLS ({cause}); is http.tlsSecret set for it?"
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"{where} can't be connected ({error.os_error.strerror or 'refused'})"
        return f"{where}: {str(error) or type(error).__name__}"

    def _headers(self) -> dict[str, str]:
        """Return the headers with the current token."""
        if self._token is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._token.value()}"}
        except SecretFileError:
            # The relays' 401 becomes the pools' condition. The log has the cause.
            return {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # A request to each relay is open all the time.
                connector=aiohttp.TCPConnector(limit=0),
                # Relays compress nothing, and a small compressed body can be a large one.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise OSError(f"its report is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)
