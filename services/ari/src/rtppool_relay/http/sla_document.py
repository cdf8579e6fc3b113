"""The JSON document of `/sla`: the verdict, every check, the limits, and the figures of calls and of the probe.

The probe's figures are shown and never judged. A figure that was not measured is absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.figures import TIMES
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import WindowReport
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up, parts_per_million
from rtppool_relay.figures.sla import QUANTILES
from rtppool_relay.http.sentences import describe_calls, describe_verdict
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.streams.slices import Slice

_JSON_NAMES = {field.name: field.encode_name for field in structs.fields(WindowReport)}


def sla_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the document as a JSON value."""
    report = snapshot.report
    document: dict[str, Any] = {
        **to_json(report.sla),
        "message": " ".join(_message(snapshot)),
        "remarks": list(describe_calls(report.calls)),
        "checks": to_json(snapshot.checks),
        "limits": to_json(snapshot.limits),
    }
    if report.host is not None:
        document["host"] = to_json(report.host)
    if report.windows.calls is not None:
        document["calls"] = window_figures(report.windows.calls, snapshot.calls, snapshot.limits)
    if report.windows.probe is not None:
        document["probe"] = window_figures(report.windows.probe, snapshot.probe, snapshot.limits)
    return document


def _message(snapshot: Snapshot) -> Iterator[str]:
    report = snapshot.report
    yield describe_verdict(report.sla, snapshot.limits, report.windows.calls)
    if report.host is not None and report.host.sentence is not None:
        yield report.host.sentence


def window_figures(window: WindowReport, figures: Slice, limits: SlaLimits) -> dict[str, Any]:
    """Return a window in µs and ppm, with percentiles and the maximum in place of its histograms."""
    shown: dict[str, Any] = to_json(structs.replace(window, **dict.fromkeys(TIMES)))
    for name in TIMES:
        shown |= _quantiles("" if name == "round_trip" else _JSON_NAMES[name], getattr(figures, name))
    if figures.judged_late:
        shown["latePpm"] = parts_per_million(figures.judged(limits.judge_host), figures.packets)
    if figures.witnessed:
        shown["hostLatePpm"] = parts_per_million(figures.late_host, figures.packets)
    shown["lossPpm"] = parts_per_million(figures.lost, figures.packets)
    return shown


def _quantiles(prefix: str, histogram: Histogram) -> dict[str, int]:
    values_ns = {name: histogram.quantile_ns(per_mille) for name, per_mille in QUANTILES}
    values_ns["maxMicroseconds"] = histogram.max_ns
    return {
        prefix + (name[0].upper() + name[1:] if prefix else name): value
        for name, value_ns in values_ns.items()
        if (value := microseconds_up(value_ns)) is not None
    }
