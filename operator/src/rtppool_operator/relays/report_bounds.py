"""Bounds of a relay's report, beside those of its contract.

A faulty relay must not make the pool's status unwritable. The API server rejects integers beyond the definition's 32
bits and very long texts. So the operator rejects such a report, and any impossible one, and counts its relay as silent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import structs

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_core.contract.report import (
    HistogramExport,
    HostReport,
    PortsReport,
    Report,
    SlaReport,
    WindowReport,
    import_bursts,
)
from rtppool_core.contract.report_changes import POSITION
from rtppool_core.statistics.histogram import SCHEME

MAX_PORTS = 1 << 16
MAX_COUNT = (1 << 31) - 1
MAX_GENERATION = (1 << 53) - 1
MAX_NS = MAX_COUNT * 1_000
MAX_WINDOW_SECONDS = 3_600
MAX_PROCESSORS = 1 << 16
MAX_HOST_MILLISECONDS = MAX_WINDOW_SECONDS * 1_000 * MAX_PROCESSORS
# An answer may fall into a later slice than its packet, and an echo may answer twice. A thousand answers are a fault.
MAX_PER_PACKET, MAX_BESIDE = 1_000, 10
_SIGNED = {"skew_ppm"}
_TIMES_OF_BURSTS = {"burst_ns", "gap_ns", "mean_burst_microseconds", "mean_gap_microseconds"}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


def check_report(report: Report) -> None:
    """Reject an impossible report.

    Raises:
        ValueError: has the field, its value and the accepted values.
    """
    _check_ports(report.ports)
    _within("calls.active", report.calls.active, MAX_PORTS)
    for reason, count in report.calls.refused.items():
        _within(f"calls.refused.{reason[:40]}", count, MAX_COUNT)
    if report.applied_generation is not None:
        _within("appliedGeneration", report.applied_generation, MAX_GENERATION)
    _within("echo.port", report.echo.port, MAX_PORTS - 1)
    _check_sla(report.sla)
    for name, window in (("calls", report.windows.calls), ("probe", report.windows.probe)):
        if window is not None:
            _check_window(f"windows.{name}", window)
    if report.host is not None:
        _check_host(report.host)
    if report.position is not None and not re.fullmatch(POSITION, report.position):
        raise ValueError(f"position is {report.position[:20]!r}; accepted is {POSITION}")


def check_node(report: Report, pod_node: str) -> None:
    """Reject a report from another node than its pod's, because its figures belong to another relay.

    Raises:
        ValueError: with both nodes.
    """
    if report.node != pod_node:
        raise ValueError(f"its report is of node {report.node[:63]!r}; accepted is its pod's, {pod_node!r}")


def _check_ports(ports: PortsReport) -> None:
    _check_counts("ports", ports, MAX_PORTS)
    added = ports.free + ports.leased + ports.resting + ports.quarantined
    if ports.total != added:
        raise ValueError(f"ports.total is {ports.total}; accepted is free + leased + resting + quarantined, {added}")


def _check_sla(sla: SlaReport) -> None:
    _check_counts("sla", sla, MAX_COUNT)
    for each in (*sla.violations, *sla.unreachable_tiers):
        _check_counts("sla", each, MAX_COUNT)
    if not _WORD.fullmatch(sla.reason):
        raise ValueError(f"sla.reason is {sla.reason[:40]!r}; accepted is one word")


def _check_host(host: HostReport) -> None:
    _within("host.window_seconds", host.window_seconds, MAX_WINDOW_SECONDS)
    _within("host.cpu_seconds", host.cpu_seconds or 0, MAX_WINDOW_SECONDS * MAX_PROCESSORS)
    _check_counts("host", host, MAX_HOST_MILLISECONDS)


def _check_window(place: str, window: WindowReport) -> None:
    length = window.end_unix_seconds - window.start_unix_seconds
    _within(f"{place} in seconds", length, MAX_WINDOW_SECONDS)
    _check_counts(place, window, MAX_COUNT, {"start_unix_seconds", "end_unix_seconds"})
    for part in (window.late, window.reordering, window.directed_loss):
        if part is not None:
            _check_counts(place, part, MAX_COUNT)
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
    if window.bursts is not None:
        import_bursts(window.bursts)
        _check_counts(f"{place}.bursts", window.bursts, MAX_COUNT, _TIMES_OF_BURSTS)


def _check_histogram(place: str, export: HistogramExport) -> None:
    """Reject as `import_histogram` does. Buckets and counts have bounds in the contract, and the merge adds them."""
    if export.scheme != SCHEME:
        raise ValueError(f"{place} has scheme {export.scheme[:40]!r}; accepted is {SCHEME}")
    _within(f"{place}'s shortest in ns", export.min_ns, export.max_ns)
    _within(f"{place}'s longest in ns", export.max_ns, MAX_NS)


def _check_counts(place: str, holder: Any, most: int, beside: Iterable[str] = ()) -> None:
    """Check the integers of a struct, without those of nested ones."""
    for name, value in structs.asdict(holder).items():
        if isinstance(value, int) and not isinstance(value, bool) and name not in beside:
            _within(f"{place}.{name}", abs(value) if name in _SIGNED else value, most)


def _within(name: str, value: float, most: int) -> None:
    if not 0 <= value <= most:
        shown = value if abs(value) < 1 << 63 else "beyond 63 bits"
        raise ValueError(f"{name} is {shown}; accepted is 0 to {most}")
