"""The relay's own routes on 9090, beside those of `rtppool_core.net.http_endpoints`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import Report
from rtppool_core.net.http_endpoints import json_response
from rtppool_relay.http.accept import preferred
from rtppool_relay.http.page.page import SlaPage
from rtppool_relay.http.sla_document import sla_document

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


def routes(
    report: Callable[[], Report],
    limits: Callable[[], SlaLimits],
    live_calls: Callable[[], list[Any]],
    recent_calls: Callable[[], list[Any]],
) -> dict[str, Route]:
    """`/status`, `/sla` and `/calls`."""
    page = SlaPage.load()

    async def status(_request: web.Request) -> web.StreamResponse:
        return json_response(to_json(report()))

    async def sla(request: web.Request) -> web.StreamResponse:
        now = report()
        accept = ",".join(request.headers.getall("Accept", ()))
        if preferred(accept, (JSON, HTML)) == HTML:
            response: web.StreamResponse = _page_response(page.render(now, limits()), page.content_security_policy)
        else:
            response = json_response(sla_document(now, limits()))
        # A cache must not hand one client the form that another asked for.
        response.headers["Vary"] = "Accept"
        response.headers["Cache-Control"] = "no-store"
        return response

    async def calls(_request: web.Request) -> web.StreamResponse:
        return json_response({"live": to_json(live_calls()), "recent": to_json(recent_calls())})

    return {"/status": status, "/sla": sla, "/calls": calls}


def _page_response(page: str, content_security_policy: str) -> web.Response:
    """Half a surrogate pair, which JSON can carry, has no place in UTF-8 and is shown as a question mark."""
    return web.Response(
        body=page.encode("utf-8", "replace"),
        content_type="text/html",
        charset="utf-8",
        headers={
            "Content-Security-Policy": content_security_policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
