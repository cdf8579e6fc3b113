"""The lists of an API server as they were at an earlier moment: those of a cache that is behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiohttp import web

# Of the client's headers, those on which the answer depends.
HEADERS = ("Authorization", "Accept")
VERSION, MATCH = "resourceVersion", "resourceVersionMatch"
TOO_LARGE = 504
Source = Literal["earlier", "server", "too large"]


@dataclass(frozen=True, slots=True)
class _Question:
    """A list, whatever the version."""

    path: str
    query: tuple[tuple[str, str], ...]
    accept: str


class EarlierLists:
    """Notes which lists clients ask for, keeps their present answers on demand, and repeats them."""

    def __init__(self) -> None:
        self._asked: dict[_Question, Mapping[str, str]] = {}
        self._kept: dict[_Question, bytes] = {}

    def note(self, request: web.Request) -> None:
        """Note that a client has asked for a list."""
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        self._asked[_question(request)] = headers | {"Accept-Encoding": "identity"}

    async def keep(self, session: aiohttp.ClientSession, url: str) -> None:
        """Keep the present answers of all lists that were asked for."""
        for question, headers in self._asked.items():
            async with session.get(f"{url}{question.path}", params=question.query, headers=headers) as response:
                if response.ok:
                    self._kept[question] = await response.read()

    def answer(self, request: web.Request) -> web.Response | None:
        """Return the answer of a server whose cache is as old as the kept answers; None: that of the present one."""
        kept = self._kept.get(_question(request))
        if kept is None:
            return None
        version = int(json.loads(kept)["metadata"]["resourceVersion"])
        match source(request.query.get(VERSION, ""), request.query.get(MATCH, ""), version):
            case "earlier":
                return web.Response(body=kept, content_type="application/json")
            case "too large":
                return _too_large(version)
            case "server":
                return None


def source(asked: str, match: str, kept: int) -> Source:
    """Return which state a list of the version `asked` shows, from a cache of the version `kept`.

    A list without a version is current on a sound server. A fault of its cache makes it as old as the cache
    (https://github.com/etcd-io/etcd/issues/15220).
    """
    if asked in {"", "0"} or int(asked) == kept:
        return "earlier"
    if int(asked) > kept:
        return "too large"
    return "server" if match == "Exact" else "earlier"


def _question(request: web.Request) -> _Question:
    query = tuple(sorted((name, text) for name, text in request.query.items() if name not in {VERSION, MATCH}))
    return _Question(request.path, query, request.headers.get("Accept", ""))


def _too_large(current: int) -> web.Response:
    """Return the answer of a server that does not have a version yet."""
    return web.json_response(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "Timeout",
            "message": f"Timeout: Too large resource version, current: {current}",
            "details": {"causes": [{"reason": "ResourceVersionTooLarge"}], "retryAfterSeconds": 1},
            "code": TOO_LARGE,
        },
        status=TOO_LARGE,
    )
