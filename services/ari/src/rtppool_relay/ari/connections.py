"""The kept HTTP connections to Asterisk, in two pools: one for the calls, one for checks.

Requests use the connections of a pool in turn, so a pool keeps all of its connections for as long as there are
requests. Checks go on without end. On connections of their own they neither keep those of past calls open nor delay the
requests of a call.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

import aiohttp

from rtppool_core.net.small_reads import SmallReads
from rtppool_relay.ari.errors import AriUnreachable

CONNECT_SECONDS = 2.0
Pool = Literal["calls", "checks"]
# Asterisk accepts 100 sessions (http.conf, sessionlimit). A comparison begins with four requests at once, so it fills
# the pool of checks.
MAX_CONNECTIONS: Mapping[Pool, int] = {"calls": 12, "checks": 4}
# An idle connection is closed after one to two of these. Asterisk closes it after 15 s (http.conf, session_keep_alive).
# Checks use each of their connections within 6 s.
KEEP_ALIVE_SECONDS: Mapping[Pool, float] = {"calls": 5.0, "checks": 10.0}


class Connections:
    """The pools of connections to the Asterisk at `url`."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, request_seconds: float) -> None:
        self._url = url
        self._tls = tls
        self._request_seconds = request_seconds
        self._pools: dict[Pool, aiohttp.ClientSession] = {}
        self._closed = False

    def of(self, pool: Pool) -> aiohttp.ClientSession:
        """Return a pool.

        Raises:
            AriUnreachable: the connections were closed for good.
        """
        if self._closed:
            raise AriUnreachable(f"ARI_URL={self._url}: the relay has closed its connections to Asterisk")
        if pool not in self._pools:
            self._pools[pool] = self._new_session(MAX_CONNECTIONS[pool], KEEP_ALIVE_SECONDS[pool])
        return self._pools[pool]

    def single(self) -> aiohttp.ClientSession:
        """Return a session with one connection of its own, which the caller closes."""
        return self._new_session(1, 0)

    async def drop(self) -> None:
        """Close the connections of both pools. Later requests open new ones."""
        pools, self._pools = self._pools, {}
        for each in pools.values():
            await each.close()

    async def close(self) -> None:
        """Close the connections for good."""
        self._closed = True
        await self.drop()

    def _new_session(self, max_connections: int, keep_alive_seconds: float) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=max_connections,
                keepalive_timeout=keep_alive_seconds,
                socket_factory=_open_socket,
                ssl=True if self._tls is None else self._tls,
            ),
            headers={"Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=self._request_seconds, sock_connect=CONNECT_SECONDS),
            middlewares=(self._refuse_redirect,),
            # Asterisk sets no cookies, and a jar has no bound.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def _refuse_redirect(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Asterisk never redirects. A redirect would send the password to another server."""
        response = await handler(request)
        if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
            response.close()
            raise AriUnreachable(
                f"ARI_URL={self._url} answers with a redirect ({response.status}), which is not followed; accepted is "
                "the address of Asterisk's ARI itself"
            )
        return response


def _open_socket(address: aiohttp.AddrInfoType) -> SmallReads:
    family, kind, protocol, *_ = address
    return SmallReads(family, kind, protocol)
