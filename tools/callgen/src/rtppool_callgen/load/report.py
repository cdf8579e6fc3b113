"""The report of a load test as a JSON document.

Names are in camelCase with their units, as in the relay's documents. An unknown figure is null, never 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.load.call_ledger import RecordCounts
from rtppool_callgen.load.relay_counts import RelayCounts
from rtppool_callgen.load.verdict import CallCounts, LoadVerdict, call_counts, tier_verdicts, verdict
from rtppool_callgen.load.windows import LoadWindow, quantile_us
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.contract.codec import Contract, to_json
from rtppool_core.process.machine import Machine
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up

VERSION = 1


@dataclass(frozen=True, slots=True)
class RelayFacts:
    """The relay under load, from the first read. Fields are None without one."""

    url: str
    node: str | None = None
    software_version: str | None = None
    port_range: str | None = None
    stamps: str | None = None
    limits: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Polls:
    """Reads of the relay. `missed` counts failed reads by reason."""

    read: int
    missed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """All data at the end of a load. `records` is None without a read of `/calls`."""

    plan: LoadPlan
    machine: Machine
    load_at_end: float
    began_unix_seconds: float
    ended_unix_seconds: float
    callers: Mapping[str, str]
    relay: RelayFacts
    counts: RelayCounts
    polls: Polls
    windows: Sequence[LoadWindow]
    tally: Tally
    records: RecordCounts | None
    interrupted: bool = False
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The document, with its counts and its verdict."""

    document: Mapping[str, Any]
    calls: CallCounts
    verdict: LoadVerdict


def load_report(outcome: LoadOutcome) -> LoadReport:
    """Judge a load and build its report."""
    tiers = tier_verdicts(outcome.windows)
    calls = call_counts(
        outcome.plan.calls, outcome.tally, outcome.counts, outcome.records, interrupted=outcome.interrupted
    )
    judged = verdict(tiers, calls, outcome.fault, interrupted=outcome.interrupted)
    counts = outcome.counts
    document = {
        "version": VERSION,
        "verdict": _document(judged),
        "calls": _document(calls),
        "tiers": [_document(tier) for tier in tiers],
        "callerRoundTrip": _round_trips(outcome.tally.round_trips),
        "records": None if outcome.records is None else _document(outcome.records),
        "relay": {
            **_document(outcome.relay),
            "acceptedCalls": counts.accepted.total,
            "cutCalls": counts.cut.total,
            "adoptedCalls": counts.adopted.total,
            "wentSilentCalls": counts.went_silent.total,
            "wentOneWayCalls": counts.went_one_way.total,
            "portsReusedEarly": counts.reused_early.total,
            "refusedByReason": counts.refused_by_reason(),
            "setup": _durations(counts.setup),
            "firstReturn": _durations(counts.first_return),
        },
        "settings": {**_document(outcome.plan), "callers": dict(outcome.callers)},
        "machine": {**_document(outcome.machine), "loadAtEnd": outcome.load_at_end},
        "time": {
            "beganUnixSeconds": round(outcome.began_unix_seconds, 3),
            "endedUnixSeconds": round(outcome.ended_unix_seconds, 3),
            "interrupted": outcome.interrupted,
        },
        "polls": _document(outcome.polls),
        "windows": [_document(window) for window in outcome.windows],
    }
    return LoadReport(document, calls, judged)


def _round_trips(histogram: Histogram | None) -> dict[str, int | None] | None:
    """Return the callers' round trips, from send to receive stamp; None for callers without them."""
    if histogram is None or histogram.count == 0:
        return None
    return {
        "samples": histogram.count,
        "p50Microseconds": quantile_us(histogram, 500),
        "p95Microseconds": quantile_us(histogram, 950),
        "p99Microseconds": quantile_us(histogram, 990),
        "maxMicroseconds": microseconds_up(histogram.max_ns),
    }


def _durations(durations: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the relay's durations since its start, without their buckets."""
    return None if durations is None else {name: value for name, value in durations.items() if name != "buckets"}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _document(value: Any) -> Any:
    """Convert to JSON types. Unlike `to_json`, which converts parts of a contract, it keeps None, as null."""
    if isinstance(value, Contract):
        return to_json(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_camel(each.name): _document(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_document(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _document(each) for key, each in value.items()}
    return value
