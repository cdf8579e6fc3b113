"""The documents of the live page.

`second` events carry one second of calls, probe, ports and each live call. `state` events carry the verdict and the
figures of the window. `history` events come first on each stream, with the seconds before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from rtppool_core.contract.codec import to_json
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import NS_PER_US
from rtppool_relay.calls.record import CallRecord
from rtppool_relay.figures.live_seconds import CallSecond, LiveCalls, LiveHistory, LiveSecond
from rtppool_relay.figures.measurement import StreamKind
from rtppool_relay.http.page.page import describe_pool, find_problems
from rtppool_relay.http.page.plot import group_bars, span_axis
from rtppool_relay.http.sentences import describe_tier, describe_violation, name_limit
from rtppool_relay.http.sla_document import sla_document
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.ports.port_manager import PortManager
from rtppool_relay.streams.slices import Slice

SPARKLINE_SECONDS = 60
MAX_ENDED = 25
SECOND_FIELDS = LiveSecond.__struct_fields__
CALL_SECOND_FIELDS = CallSecond.__struct_fields__
CALL_FIELDS = (
    *("call", "caller", "port", "state", "startedUnixMs", "media", "packets", "lost"),
    *("lateSource", "lateRelay", "lateEcho", "lateHost", "second"),
)


def second_document(
    at_unix_seconds: int,
    seconds: dict[StreamKind, LiveSecond],
    ports: PortManager,
    records: Iterable[CallRecord],
    streams: dict[int, Slice],
    tracks: LiveCalls,
) -> dict[str, Any]:
    """Return one second. `streams` are the sums of each live call by its port, without histograms."""
    return {
        "at": at_unix_seconds,
        "calls": seconds["calls"],
        "probe": seconds["probe"],
        "ports": _ports(ports),
        "live": [_call_row(record, streams, tracks) for record in records],
    }


def history_document(
    histories: dict[StreamKind, LiveHistory], ports: Iterable[int], tracks: LiveCalls
) -> dict[str, Any]:
    """Return the seconds before the stream, and the names of the fields that the events have by their places."""
    return {
        "fields": {"second": SECOND_FIELDS, "call": CALL_FIELDS, "callSecond": CALL_SECOND_FIELDS},
        **{kind: list(history.seconds) for kind, history in histories.items()},
        "sparklines": {
            str(port): [
                (each.longest, each.lost + each.late_relay + each.late_echo + (each.late_host or 0))
                for each in list(tracks.seconds(port))[-SPARKLINE_SECONDS:]
            ]
            for port in ports
        },
    }


def state_document(snapshot: Snapshot, ended: Iterable[CallRecord] = ()) -> dict[str, Any]:
    """Return the verdict with its limits, the figures of the window, and the state of the relay's parts.

    `ended` are the calls that ended last, newest first.
    """
    report, limits = snapshot.report, snapshot.limits
    return {
        "relay": report.relay,
        "node": report.node,
        "pool": describe_pool(report),
        "echo": report.echo.resolved_address or report.echo.host,
        "version": report.software_version,
        "sla": sla_document(snapshot),
        "tier": describe_tier(report.sla),
        "violations": [describe_violation(each, limits) for each in report.sla.violations],
        "limitNames": {check.limit: name_limit(check.limit, limits) for check in snapshot.checks},
        "problems": list(find_problems(report)),
        "draining": report.draining,
        "asterisk": report.ari.state,
        "activeCalls": report.calls.active,
        "refused": report.calls.refused,
        "ended": report.calls.ended,
        "lastEnded": [_ended_call(record) for record in islice(ended, MAX_ENDED)],
        "hostWitnesses": {
            witness.name: witness.reason for witness in (report.host.witnesses if report.host else ()) if witness.reason
        },
        "histograms": {
            "calls": _histograms(snapshot.calls),
            "probe": _histograms(snapshot.probe),
        },
    }


def _ended_call(record: CallRecord) -> dict[str, Any]:
    figures = record.figures
    late = figures.late if figures is not None and figures.packets else None
    return {
        "call": record.call,
        "caller": record.caller_number,
        "port": record.port,
        "endedUnixMs": record.ended_unix_ms,
        "lastedMs": None if record.ended_unix_ms is None else record.ended_unix_ms - record.started_unix_ms,
        "why": record.refused or record.ended_by,
        "refused": record.refused is not None,
        "p50": figures.p50_microseconds if figures is not None else None,
        "p99": figures.p99_microseconds if figures is not None else None,
        "lost": figures.lost if late is not None and figures is not None else None,
        "late": late.relay + late.echo + (late.host or 0) if late is not None else None,
        "packets": figures.packets if figures is not None else None,
        "sla": figures.sla if figures is not None else None,
    }


def call_document(record: CallRecord, figures: Slice | None, tracks: LiveCalls) -> dict[str, Any]:
    """Return one call. A call that has ended has its record alone."""
    document: dict[str, Any] = {"record": to_json(record), "seconds": [], "fields": CALL_SECOND_FIELDS}
    if figures is not None and record.port is not None:
        document["seconds"] = list(tracks.seconds(record.port))
        document["histograms"] = _histograms(figures)
    return document


def _histograms(figures: Slice) -> dict[str, Any]:
    held = {"roundTrip": figures.round_trip, "residence": figures.residence}
    return {name: _bars(histogram) for name, histogram in held.items() if histogram.count}


def _bars(histogram: Histogram) -> list[tuple[float, float, int]]:
    """Return bars as (from µs, to µs, packets)."""
    bars = group_bars(histogram, span_axis(histogram, ()))
    return [(bar.low_ns / NS_PER_US, bar.high_ns / NS_PER_US, bar.count) for bar in bars]


def _ports(ports: PortManager) -> dict[str, Any]:
    return {
        **to_json(ports.report()),
        "start": ports.range.start,
        "map": ports.map(),
        "drainingPorts": ports.draining(),
        "probePort": ports.probe_port,
    }


def _call_row(record: CallRecord, streams: dict[int, Slice], tracks: LiveCalls) -> tuple[Any, ...]:
    figures = streams.get(record.port) if record.port is not None else None
    counts: tuple[int | None, ...] = (None,) * 6
    if figures is not None and figures.packets:
        counts = (
            *(figures.packets, figures.lost, figures.late_source, figures.late_relay, figures.late_echo),
            figures.late_host if figures.witnessed else None,
        )
    second = tracks.latest(record.port) if figures is not None and record.port is not None else None
    media = record.media.value if record.media is not None else None
    caller, state = record.caller_number, record.state.value
    return (record.call, caller, record.port, state, record.started_unix_ms, media, *counts, second)
