"""Style sheets and scripts out of packages, with a tag of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from aiohttp import web

from rtppool_core.net.http_endpoints import Handler

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATIC = "static"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file with the tag of its content."""

    body: bytes
    content_type: str
    tag: str


class StaticFiles:
    """The files of the folders `static` of packages. They are read with the first request, and kept."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._packages = (__package__, *packages)
        self._files: Mapping[str, StaticFile] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer `/static/{name}`. A browser asks each time, and gets 304 while the content is the same."""
        if not self._files:
            self._files = read_files(self._packages)
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such file\n")
        response = web.Response(
            body=found.body,
            content_type=found.content_type,
            charset="utf-8",
            headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"},
        )
        response.etag = found.tag
        if any(each.value in {found.tag, "*"} for each in request.if_none_match or ()):
            response.set_status(304)
            response.body = None
        return response

    def routes(self) -> dict[str, Handler]:
        """Return the route of the files."""
        return {f"/{STATIC}/{{name}}": self.answer}


def read_files(packages: Iterable[str]) -> dict[str, StaticFile]:
    """Read the files of all packages by name."""
    found: dict[str, StaticFile] = {}
    for package in packages:
        for entry in resources.files(package).joinpath(STATIC).iterdir():
            content_type = CONTENT_TYPES.get(entry.name[entry.name.rfind(".") :])
            if content_type is not None:
                body = entry.read_bytes()
                found[entry.name] = StaticFile(body, content_type, hashlib.sha256(body).hexdigest()[:16])
    return found


def page_response(page: str) -> web.Response:
    """Make the response of a page. Half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes a `?`."""
    return web.Response(
        body=page.encode("utf-8", "replace"), content_type="text/html", charset="utf-8", headers=PAGE_HEADERS
    )
