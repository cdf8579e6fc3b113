"""Reports of simulated relays: real contract, real histograms, seeded noise."""

from __future__ import annotations

import functools
import json
import random
import re
from dataclasses import dataclass

import msgspec

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.pools_file import PoolEntry
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import (
    AriReport,
    CallsReport,
    ClockReport,
    EchoReport,
    HistogramExport,
    LateByCause,
    MediaReport,
    PoolReference,
    PortsReport,
    Report,
    SlaReport,
    WindowReport,
    Windows,
    export_histogram,
)
from rtppool_core.statistics.histogram import Histogram

ENVIRONMENT_RANGE = PortRange(10000, 10100)
WINDOW_SECONDS = 60
PROBE_PACKETS = 600
# A window of 50 calls has 150,000 packets; from this number on, more packets fill no more buckets.
CALL_PACKETS_DRAWN = 20_000
VARIANTS = 16
NS_PER_US = 1_000
# The round trip to an echo on the same node: most near 120 µs, one in some hundred about a millisecond.
ROUND_TRIP_US, RESIDENCE_US, SOURCE_VARIATION_US = 120.0, 60.0, 80.0
SPREAD = 0.35
TAIL_SHARE = 0.004
TAIL_US = (500.0, 3_000.0)
# Fields that a relay of an older version does not send; all have defaults in the contract.
NEWER_FIELDS = ("leaked", "reusedEarly", "orphansDeleted", "arrived", "endedBy", "wentSilent", "capacityCalls")
# Fields that are None, behind another field and at the begin of an object. Inside a text, a quote is escaped.
_NULL, _NULL_FIRST = re.compile(rb',"\w+":null'), re.compile(rb'\{"\w+":null,?')


@dataclass(frozen=True, slots=True)
class Situation:
    """The state that a report describes. Without an `entry`, the relay runs on its environment."""

    pod: str
    node: str
    entry: PoolEntry | None
    active_calls: int = 0
    echo_reachable: bool = True
    config_error: str | None = None
    software_version: str = "0.1.0"


def report_of(situation: Situation, chance: random.Random, now_unix_seconds: int) -> Report:
    """Return the report of a relay in this situation, without any other fault."""
    entry, calls = situation.entry, situation.active_calls
    ports = entry.port_range if entry is not None else ENVIRONMENT_RANGE
    excluded = len(entry.excluded_ports) if entry is not None else 0
    total = ports.end - ports.start + 1 - excluded
    host, port = (entry.echo.host, entry.echo.port) if entry is not None else ("127.0.0.1", 4000)
    return Report(
        relay=situation.pod,
        node=situation.node,
        software_version=situation.software_version,
        ready=True,
        not_ready=(),
        draining=False,
        ports=PortsReport(str(ports), total, total - calls, calls, 0, 0, excluded, 0),
        calls=CallsReport(calls, calls, 0, 0, 0, {}),
        ari=AriReport("NotConfigured", 0, reason="ARI_USER is empty"),
        media=MediaReport(1, 1, 0, 0, {}),
        clock=ClockReport("kernel", 0, 0),
        echo=EchoReport(
            host,
            port,
            f"{host}:{port}",
            reachable=situation.echo_reachable,
            reason=None if situation.echo_reachable else "none of the last 50 packets of the probe came back",
        ),
        sla=SlaReport("Unknown", "NoCalls", 0) if not calls else SlaReport("Met", "Met", calls, 30),
        windows=Windows(
            calls=_window(chance, now_unix_seconds, calls * 50 * WINDOW_SECONDS) if calls else None,
            probe=_window(chance, now_unix_seconds, PROBE_PACKETS) if situation.echo_reachable else None,
        ),
        pool=PoolReference(entry.name, entry.namespace, entry.uid) if entry is not None else None,
        applied_generation=entry.generation if entry is not None else None,
        config_error=situation.config_error,
    )


def draw_histograms() -> None:
    """Draw all histograms now, so that no report has to: it takes seconds."""
    for variant in range(VARIANTS):
        for median_us in (ROUND_TRIP_US, RESIDENCE_US, SOURCE_VARIATION_US):
            for packets in (PROBE_PACKETS, CALL_PACKETS_DRAWN):
                _histogram(variant, median_us, packets)


def rendered(report: Report) -> bytes:
    """Return the body of `/status`: `to_json` without its cost, which would exceed the operator's."""
    return _NULL_FIRST.sub(b"{", _NULL.sub(b"", msgspec.json.encode(report)))


def rendered_as_older(report: Report) -> bytes:
    """Return the body of `/status` of an older version, which has fewer fields."""
    document = to_json(report)
    for held in (document["ports"], document["calls"], document["sla"]):
        for name in NEWER_FIELDS:
            held.pop(name, None)
    return json.dumps(document, separators=(",", ":")).encode()


def _window(chance: random.Random, now_unix_seconds: int, packets: int) -> WindowReport:
    drawn = PROBE_PACKETS if packets <= PROBE_PACKETS else CALL_PACKETS_DRAWN
    return WindowReport(
        start_unix_seconds=now_unix_seconds - WINDOW_SECONDS,
        end_unix_seconds=now_unix_seconds,
        packets=drawn,
        answered=drawn,
        lost=0,
        late=LateByCause(),
        reordered=0,
        duplicates=0,
        too_late=0,
        jitter_microseconds=chance.randint(5, 40),
        source_jitter_microseconds=chance.randint(5, 40),
        pdv_microseconds=chance.randint(100, 2_000),
        source_pdv_microseconds=chance.randint(100, 2_000),
        skew_ppm=chance.randint(-5, 5),
        round_trip=_histogram(chance.randrange(VARIANTS), ROUND_TRIP_US, drawn),
        residence=_histogram(chance.randrange(VARIANTS), RESIDENCE_US, drawn),
        source_variation=_histogram(chance.randrange(VARIANTS), SOURCE_VARIATION_US, drawn),
    )


@functools.cache
def _histogram(variant: int, median_us: float, samples: int) -> HistogramExport | None:
    """Return a random histogram, cached for each variant: at 200 relays, drawing would cost more than the operator."""
    chance, histogram = random.Random(variant), Histogram()
    for _ in range(samples):
        value_us = (
            chance.uniform(*TAIL_US) if chance.random() < TAIL_SHARE else median_us * chance.lognormvariate(0, SPREAD)
        )
        histogram.record(int(value_us * NS_PER_US))
    return export_histogram(histogram)
