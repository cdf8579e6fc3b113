"""A relay's report: reading, and rules beside the bounds of its contract, which hold for each number and text.

A faulty relay must not make the pool's status unwritable. The API server rejects integers beyond the definition's 32
bits and very long texts. So the operator rejects such a report, and any impossible one, and counts its relay as silent.
"""

from __future__ import annotations

import re
from typing import Any

from rtppool_core.contract.codec import Contract, ContractError, decode
from rtppool_core.contract.figures import COUNTS, MAX_NUMBER, TIMES
from rtppool_core.contract.report import MAX_WINDOW_SECONDS, VERSION, HistogramExport, PortsReport, Report, WindowReport
from rtppool_core.contract.report_changes import POSITION
from rtppool_core.statistics.histogram import SCHEME

# An answer may fall into a later slice than its packet, and an echo may answer twice. A thousand answers are a fault.
MAX_PER_PACKET, MAX_BESIDE = 1_000, 10
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


class IncompatibleReportError(ContractError):
    """A report of a version that this operator does not read."""


class _Version(Contract, frozen=True):
    version: Any = VERSION


def read_report(body: bytes, node: str | None = None) -> Report:
    """Read a relay's report. An accepted report can be merged with others, histograms included.

    A report from another node than its pod's `node` is rejected, because its figures belong to another relay.

    Raises:
        IncompatibleReportError: the report has another version; the rest of it is not read.
        ContractError: not JSON, or a field is missing or has the wrong type.
        ValueError: a histogram of another scheme, or an impossible figure.
    """
    try:
        report = decode(Report, body)
    except ContractError:
        # A report of another version may have another shape.
        _check_version(decode(_Version, body).version)
        raise
    _check_version(report.version)
    if node is not None and report.node != node:
        raise ValueError(f"its report is of node {report.node[:63]!r}; accepted is its pod's, {node!r}")
    _check_report(report)
    return report


def _check_version(version: Any) -> None:
    if version != VERSION:
        raise IncompatibleReportError(f"its report has version {str(version)[:20]}; accepted is {VERSION}")


def _check_report(report: Report) -> None:
    """Reject an impossible report. The error has the field, its value and the accepted values."""
    _check_ports(report.ports)
    for reason, count in report.calls.refused.items():
        _within(f"calls.refused.{reason[:40]}", count, MAX_NUMBER)
    if not _WORD.fullmatch(report.sla.reason):
        raise ValueError(f"sla.reason is {report.sla.reason[:40]!r}; accepted is one word")
    for name, window in (("calls", report.windows.calls), ("probe", report.windows.probe)):
        if window is not None:
            _check_window(f"windows.{name}", window)
    if report.position is not None and not re.fullmatch(POSITION, report.position):
        raise ValueError(f"position is {report.position[:20]!r}; accepted is {POSITION}")


def _check_ports(ports: PortsReport) -> None:
    added = ports.free + ports.leased + ports.resting + ports.quarantined
    if ports.total != added:
        raise ValueError(f"ports.total is {ports.total}; accepted is free + leased + resting + quarantined, {added}")


def _check_window(place: str, window: WindowReport) -> None:
    _within(f"{place} in seconds", window.end_unix_seconds - window.start_unix_seconds, MAX_WINDOW_SECONDS)
    most = MAX_PER_PACKET * window.packets + MAX_BESIDE
    for name, count in (
        ("answered", window.answered),
        ("lost", window.lost),
        ("late", window.late.all_causes),
        ("late.judged", window.late.counted),
        # A count with a whole of its own is not bound by the packets: a stream may be lost almost entirely.
        *((name, getattr(window, name)) for name, count in COUNTS.items() if name not in count.of),
    ):
        _within(f"{place}.{name}", count, most)
    for name in TIMES:
        export = getattr(window, name)
        if export is not None:
            _check_histogram(f"{place}.{name}", export)


def _check_histogram(place: str, export: HistogramExport) -> None:
    """Reject as `import_histogram` does. The merge adds buckets and counts."""
    if export.scheme != SCHEME:
        raise ValueError(f"{place} has scheme {export.scheme[:40]!r}; accepted is {SCHEME}")
    _within(f"{place}'s shortest in ns", export.min_ns, export.max_ns)


def _within(name: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        shown = value if abs(value) < 1 << 63 else "beyond 63 bits"
        raise ValueError(f"{name} is {shown}; accepted is 0 to {most}")
