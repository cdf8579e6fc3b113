"""Client of a real Asterisk's REST interface: requests, and the objects that relays left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Self

import aiohttp

from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.plan.caller_events import Over

REQUEST_SECONDS = 10.0
# A channel or bridge that remains two seconds after the end of its call is an orphan.
ORPHAN_SECONDS = 2.0
POLL_SECONDS = 0.2
# Prefix of the ids of channels and bridges that relays create.
RELAYS_PREFIX = "rtp_"
NOT_FOUND = 404


class AsteriskClient:
    """Use as `async with`. `url` ends in `/ari`. User and password go into a header, never into an address."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._authorization = aiohttp.encode_basic_auth(user, password)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        self._http = aiohttp.ClientSession(headers={"Authorization": self._authorization}, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        if self._http is not None:
            await self._http.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        """The session, with the user's credentials."""
        if self._http is None:
            raise RuntimeError("AsteriskClient is used outside of its async with")
        return self._http

    async def request(
        self, method: str, path: str, parameters: Mapping[str, str] | None = None, *, may_be_missing: bool = False
    ) -> Any:
        """Return the JSON of an answer; None for an empty one, and for a 404 with `may_be_missing`.

        Raises:
            CallersFailed: Asterisk did not answer, or refused.
        """
        try:
            async with self.http.request(method, self.url + path, params=parameters or {}) as response:
                text = await response.text()
                if response.status == NOT_FOUND and may_be_missing:
                    return None
                if not response.ok:
                    raise CallersFailed(f"Asterisk answers {response.status} to {method} {path}: {text.strip()[:200]}")
                return json.loads(text) if text.strip() else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or f"no answer within {REQUEST_SECONDS:g} s"
            raise CallersFailed(f"Asterisk at {self.url} does not answer {method} {path}: {reason}") from error

    async def relay_objects(self) -> frozenset[str]:
        """Return all channels and bridges of relays, as `channel ID` and `bridge ID`.

        Raises:
            CallersFailed: Asterisk did not answer, or refused.
        """
        found = set()
        for kind, path in (("channel", "/channels"), ("bridge", "/bridges")):
            listed = await self.request("GET", path)
            for each in listed if isinstance(listed, list) else []:
                name = str(each.get("id", "")) if isinstance(each, Mapping) else ""
                if name.startswith(RELAYS_PREFIX):
                    found.add(f"{kind} {name}")
        return frozenset(found)

    async def left_behind(self, before: frozenset[str]) -> Over:
        """Count what relays leave behind after at most two seconds, except what existed `before` the load."""
        deadline = asyncio.get_running_loop().time() + ORPHAN_SECONDS
        while True:
            try:
                left = await self.relay_objects() - before
            except CallersFailed:
                return Over()
            if not left or asyncio.get_running_loop().time() > deadline:
                bridges = sum(name.startswith("bridge ") for name in left)
                return Over(len(left) - bridges, bridges)
            await asyncio.sleep(POLL_SECONDS)
