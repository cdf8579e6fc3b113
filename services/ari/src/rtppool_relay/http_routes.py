"""The relay's own routes on 9090, beside those of `rtppool_core.http_endpoints`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from rtppool_core.contract import to_json
from rtppool_core.http_endpoints import json_response
from rtppool_core.pool_config import SlaLimits
from rtppool_core.report import Report, SlaReport, WindowReport, import_histogram

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]
QUANTILES = ((500, "p50Microseconds"), (950, "p95Microseconds"), (990, "p99Microseconds"))


def routes(
    report: Callable[[], Report],
    limits: Callable[[], SlaLimits],
    live_calls: Callable[[], list[Any]],
    recent_calls: Callable[[], list[Any]],
) -> dict[str, Route]:
    """`/status`, `/sla` and `/calls`."""

    async def status(_request: web.Request) -> web.StreamResponse:
        return json_response(to_json(report()))

    async def sla(_request: web.Request) -> web.StreamResponse:
        now = report()
        return json_response(sla_document(now.sla, limits(), now.windows.calls, now.windows.probe))

    async def calls(_request: web.Request) -> web.StreamResponse:
        return json_response({"live": to_json(live_calls()), "recent": to_json(recent_calls())})

    return {"/status": status, "/sla": sla, "/calls": calls}


def sla_document(
    verdict: SlaReport, limits: SlaLimits, calls: WindowReport | None, probe: WindowReport | None
) -> dict[str, Any]:
    """The verdict with its limits and what was measured; the probe's figures are shown, never judged."""
    document: dict[str, Any] = {**to_json(verdict), "limits": to_json(limits)}
    for name, window in (("calls", calls), ("probe", probe)):
        if window is not None:
            document[name] = window_figures(window)
    return document


def window_figures(window: WindowReport) -> dict[str, Any]:
    """A window in µs and ppm, without its histograms."""
    figures = to_json(window)
    for name in ("roundTrip", "residence"):
        figures.pop(name, None)
    if window.round_trip is not None:
        histogram = import_histogram(window.round_trip)
        for per_mille, name in QUANTILES:
            value_ns = histogram.quantile_ns(per_mille)
            if value_ns is not None:
                figures[name] = round(value_ns / 1000)
        figures["maxMicroseconds"] = round(window.round_trip.max_ns / 1000)
    figures["latePpm"] = (window.late.relay + window.late.echo) * 1_000_000 // window.packets
    figures["lossPpm"] = window.lost * 1_000_000 // window.packets
    return dict(figures)
