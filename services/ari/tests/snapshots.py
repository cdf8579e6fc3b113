"""Snapshots of a relay for the tests of its HTTP answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import (
    AriReport,
    CallsReport,
    ClockReport,
    EchoReport,
    LateByCause,
    MediaReport,
    PoolReference,
    PortsReport,
    Report,
    WindowReport,
    Windows,
    export_histogram,
)
from rtppool_relay.figures.capacity import Capacity
from rtppool_relay.figures.sla import judge
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.streams.slices import Slice

MS = 1_000_000
LIMITS = SlaLimits()
START = 1_790_000_000
FEW = 10


def window(packets: int = 50_000, lost: int = 0, longest_ns: int = 9 * MS, **late: int) -> tuple[Slice, WindowReport]:
    figures = Slice(packets=packets, answered=packets - lost, **{f"late_{cause}": late[cause] for cause in late})
    figures.late_judged = late.get("relay", 0) + late.get("echo", 0)
    for at in range(1000 if packets > FEW else packets):
        figures.round_trip.record(80_000 + at * 700)
        figures.residence.record(30_000 + at * 90)
        figures.source_variation.record(MS)
    if packets > FEW:
        figures.round_trip.record(longest_ns)
    return figures, WindowReport(
        start_unix_seconds=START,
        end_unix_seconds=START + 60,
        packets=packets,
        answered=packets - lost,
        lost=lost,
        late=LateByCause(**late),
        reordered=3,
        duplicates=2,
        too_late=1,
        source_lost=4,
        jitter_microseconds=413,
        round_trip=export_histogram(figures.round_trip),
        residence=export_histogram(figures.residence),
    )


def snapshot(
    calls: tuple[Slice, WindowReport | None] = (Slice(), None),
    probe: tuple[Slice, WindowReport | None] = (Slice(), None),
    active_calls: int = 20,
    limits: SlaLimits = LIMITS,
    capacity: Capacity | None = None,
) -> Snapshot:
    verdict = judge(calls[0], active_calls, limits, capacity)
    report = Report(
        relay="rtp-relay-x7",
        node="worker-1",
        software_version="0.1.0",
        ready=True,
        not_ready=(),
        draining=False,
        ports=PortsReport("10000-10100", 101, 81, 20, 0, 0, 0, 0),
        calls=CallsReport(active_calls, 20, 0, 0, 0, {}),
        ari=AriReport("Connected", 0),
        media=MediaReport(1, 1, 0, 0, {}),
        clock=ClockReport("kernel", 0, 0),
        echo=EchoReport("127.0.0.1", 4000, "127.0.0.1:4000", reachable=True),
        sla=verdict.report,
        windows=Windows(calls[1], probe[1]),
        pool=PoolReference("default", "voice", "u-1"),
    )
    return Snapshot(report, limits, verdict.checks, calls[0], probe[0])


def with_report(shown: Snapshot, **changes: Any) -> Snapshot:
    return replace(shown, report=structs.replace(shown.report, **changes))


VIOLATED = snapshot(
    window(lost=150, longest_ns=23 * MS + 1, source=5000, relay=30, echo=60),
    window(packets=600, source=1, relay=0, echo=0),
    capacity=Capacity(101, "the range 10000-10100 has 101 ports"),
)
MET = snapshot(window(source=0, relay=0, echo=0), window(packets=600))
ABOVE = snapshot(window(), active_calls=160)
PROBE_ALONE = snapshot(probe=window(packets=600), active_calls=0)
NOTHING = snapshot(active_calls=0)
WITHOUT_TIERS = snapshot(window(), limits=SlaLimits(tiers=()))
EACH = pytest.mark.parametrize(
    "shown",
    [
        pytest.param(VIOLATED, id="violated"),
        pytest.param(MET, id="met"),
        pytest.param(ABOVE, id="above the tiers"),
        pytest.param(PROBE_ALONE, id="the probe alone"),
        pytest.param(NOTHING, id="nothing measured"),
        pytest.param(WITHOUT_TIERS, id="no tiers"),
        pytest.param(snapshot(window(packets=5)), id="too few"),
    ],
)
