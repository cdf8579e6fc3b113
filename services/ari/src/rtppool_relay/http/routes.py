"""The relay's own routes on 9090, besides those of `rtppool_core.net.http_endpoints`.

`/sla` answers in the form that the client prefers: the Accept header by RFC 9110 sections 12.4.2 and 12.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from urllib.request import parse_http_list

from aiohttp import web
from aiohttp.helpers import parse_mimetype

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.packet_check import PacketCheck
from rtppool_core.net.http_endpoints import Handler, json_response
from rtppool_core.pages.static_files import StaticFiles, page_response
from rtppool_core.pages.templates import Templates
from rtppool_relay.http.calls_document import Calls, CallsDocument
from rtppool_relay.http.page.page import PACKAGE, render_live, render_report
from rtppool_relay.http.sla_document import sla_document
from rtppool_relay.http.snapshot import Snapshot

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
# Browsers send some 150. Each range of a longer header would cost processor time.
MAX_ACCEPT_CHARACTERS = 1024
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def make_routes(
    snapshot: Callable[[], Snapshot],
    status: Handler,
    live_calls: Calls,
    recent_calls: Calls,
    check_packets: Callable[[], Awaitable[PacketCheck]],
    live: Mapping[str, Handler] = MappingProxyType({}),
) -> dict[str, Handler]:
    """Make the handlers of `/`, `/sla`, `/calls`, `/check` and the files of pages, beside `status` and `live`."""
    templates = Templates(PACKAGE)
    files = StaticFiles([PACKAGE])

    async def page(_request: web.Request) -> web.StreamResponse:
        report = snapshot().report
        return page_response(render_live(templates, report.relay, report.node))

    async def check(_request: web.Request) -> web.StreamResponse:
        return json_response(to_json(await check_packets()))

    async def sla(request: web.Request) -> web.StreamResponse:
        accept = ",".join(request.headers.getall("Accept", ()))[:MAX_ACCEPT_CHARACTERS]
        if prefer(accept, (JSON, HTML)) == HTML:
            response = page_response(render_report(templates, snapshot()))
        else:
            response = json_response(sla_document(snapshot()))
        # A cache must not answer one client with the form that another client preferred.
        response.headers["Vary"] = "Accept"
        response.headers["Cache-Control"] = "no-store"
        return response

    calls = CallsDocument(live_calls, recent_calls).answer
    return {"/": page, "/status": status, "/sla": sla, "/calls": calls, "/check": check, **files.routes(), **live}


def prefer(accept: str, offered: Sequence[str]) -> str:
    """Return the offered media type with the highest weight, the first of them on a tie.

    A header that accepts none of them gets the first as well: an answer in another form helps more than status 406.
    """
    return max(offered, key=lambda media_type: weigh(accept, media_type))


def weigh(accept: str, media_type: str) -> float:
    """Return the weight of a media type by its most specific range: 0 (not acceptable) to 1."""
    offered, _ = _parse_range(media_type)
    matches = [(accepted.precedence, weight) for accepted, weight in _ranges(accept) if accepted.covers(offered)]
    return max(matches)[1] if matches else 0.0


class MediaRange(NamedTuple):
    """`text/html`, `text/*` or `*/*` with its parameters, in lower case except for the parameters' values."""

    kind: str
    subtype: str
    parameters: frozenset[tuple[str, str]]

    def covers(self, other: MediaRange) -> bool:
        """Return whether a representation of type `other` is in this range."""
        return (
            self.kind in {"*", other.kind}
            and self.subtype in {"*", other.subtype}
            and self.parameters <= other.parameters
        )

    @property
    def precedence(self) -> tuple[bool, bool, int]:
        """The order of ranges, the most specific one last."""
        return self.kind != "*", self.subtype != "*", len(self.parameters)


def _ranges(accept: str) -> Iterator[tuple[MediaRange, float]]:
    """Yield the well-formed ranges of the header with their weights."""
    for item in parse_http_list(accept):
        media_range, weight = _parse_range(item)
        if media_range.kind and media_range.subtype and _WEIGHT.fullmatch(weight):
            yield media_range, float(weight)


def _parse_range(item: str) -> tuple[MediaRange, str]:
    mime = parse_mimetype(item)
    parameters = dict(mime.parameters)
    weight = parameters.pop("q", "1")
    subtype = f"{mime.subtype}+{mime.suffix}" if mime.suffix else mime.subtype
    return MediaRange(mime.type, subtype, frozenset(parameters.items())), weight
