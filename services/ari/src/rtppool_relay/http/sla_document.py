"""`/sla` as a document: the verdict, its limits, every check, and what was measured of calls and of the probe. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rtppool_core.contract.codec import camel, to_json
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import HistogramExport, LateByCause, Report, WindowReport, import_histogram
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up
from rtppool_relay.figures.sla import QUANTILES, SlaCheck, checks, parts_per_million, tier_for
from rtppool_relay.http.sentences import call_remarks, verdict_sentence


def sla_document(report: Report, limits: SlaLimits) -> dict[str, Any]:
    """The probe's figures are shown, never judged; what was not measured is absent."""
    verdict, windows = report.sla, report.windows
    document: dict[str, Any] = {
        **to_json(verdict),
        "message": verdict_sentence(verdict, limits, windows.calls),
        "remarks": list(call_remarks(report.calls)),
        "checks": to_json(window_checks(windows.calls, verdict.active_calls, limits)),
        "limits": to_json(limits),
    }
    for name, window in (("calls", windows.calls), ("probe", windows.probe)):
        if window is not None:
            document[name] = window_figures(window)
    return document


def window_checks(window: WindowReport | None, active_calls: int, limits: SlaLimits) -> tuple[SlaCheck, ...]:
    """The limits that hold for this many calls beside the window's figures."""
    tier, _ = tier_for(limits, active_calls)
    if window is None:
        return checks(Histogram(), LateByCause(), 0, 0, tier, limits)
    round_trips = import_histogram(window.round_trip) if window.round_trip is not None else Histogram()
    return checks(round_trips, window.late, window.lost, window.packets, tier, limits)


def window_figures(window: WindowReport) -> dict[str, Any]:
    """A window in µs and ppm: percentiles and the maximum in the place of its histograms."""
    figures: dict[str, Any] = to_json(window)
    for field in fields(window):
        held = getattr(window, field.name)
        if isinstance(held, HistogramExport):
            name = camel(field.name)
            del figures[name]
            figures |= _quantiles("" if field.name == "round_trip" else name, import_histogram(held))
    late = window.late.relay + window.late.echo
    figures["latePpm"] = parts_per_million(late, window.packets)
    figures["lossPpm"] = parts_per_million(window.lost, window.packets)
    return figures


def _quantiles(of: str, histogram: Histogram) -> dict[str, int]:
    held = {name: histogram.quantile_ns(per_mille) for name, per_mille in QUANTILES}
    held["maxMicroseconds"] = histogram.max_ns
    return {
        of + (name[0].upper() + name[1:] if of else name): value
        for name, value_ns in held.items()
        if (value := microseconds_up(value_ns)) is not None
    }
