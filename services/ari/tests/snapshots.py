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
    HostReport,
    MediaReport,
    PoolReference,
    PortsReport,
    Report,
    WindowReport,
    Windows,
    WitnessReport,
    export_histogram,
)
from rtppool_relay.figures.capacity import Capacity
from rtppool_relay.figures.sla import judge
from rtppool_relay.http.sentences import describe_host
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.streams.slices import Slice

MS = 1_000_000
LIMITS = SlaLimits()
START = 1_790_000_000
FEW = 10


def window(
    packets: int = 50_000, lost: int = 0, longest_ns: int = 9 * MS, judge_host: bool = False, **late: int
) -> tuple[Slice, WindowReport]:
    judged = late.get("relay", 0) + late.get("echo", 0)
    figures = Slice(
        packets=packets,
        answered=packets - lost,
        late_judged=judged,
        late_judged_with_host=judged + late.get("host", 0),
        witnessed=packets if "host" in late else 0,
        **{f"late_{cause}": number for cause, number in late.items()},
    )
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
        late=figures.late(judge_host),
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
    host: HostReport | None = None,
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
        host=host and structs.replace(host, sentence=describe_host(host, calls[1])),
    )
    return Snapshot(report, limits, verdict.checks, calls[0], probe[0])


def with_report(shown: Snapshot, **changes: Any) -> Snapshot:
    return replace(shown, report=structs.replace(shown.report, **changes))


VIOLATED = snapshot(
    window(lost=150, longest_ns=23 * MS + 1, source=5000, relay=30, echo=60),
    window(packets=600, source=1, relay=0, echo=0),
    capacity=Capacity(101, "the range 10000-10100 has 101 ports"),
)
STOLEN = HostReport(
    window_seconds=60,
    cpu_seconds=122.0,
    stolen_milliseconds=3_020,
    run_delay_milliseconds=411,
    heartbeat_late_milliseconds=1_504,
    late_packets=332,
    late_in_host_seconds=332,
    echo="ThisMachine",
    witnesses=(
        WitnessReport("heartbeat", present=True),
        WitnessReport("steal", present=True),
        WitnessReport("runDelay", present=True),
        WitnessReport("throttling", present=False, reason="this process is in the root control group"),
        WitnessReport("pressure", present=False, reason="/proc/pressure/cpu can't be read (No such file or directory)"),
    ),
)
BY_HOST = snapshot(window(source=3, relay=20, echo=12, host=300), host=STOLEN)
HOST_JUDGED = snapshot(
    window(source=3, relay=20, echo=12, host=300, judge_host=True), limits=SlaLimits(judge_host=True), host=STOLEN
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
        pytest.param(BY_HOST, id="late by the host"),
        pytest.param(HOST_JUDGED, id="the host is judged"),
        pytest.param(ABOVE, id="above the tiers"),
        pytest.param(PROBE_ALONE, id="the probe alone"),
        pytest.param(NOTHING, id="nothing measured"),
        pytest.param(WITHOUT_TIERS, id="no tiers"),
        pytest.param(snapshot(window(packets=5)), id="too few"),
    ],
)
