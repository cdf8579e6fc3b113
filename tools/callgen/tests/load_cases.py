"""Windows and relays' reports as the tests of the load test need them."""

from __future__ import annotations

from typing import Any

from rtppool_callgen.load.windows import LoadWindow
from rtppool_core.contract.codec import from_json
from rtppool_core.contract.report import Report, SlaViolation, export_histogram
from rtppool_core.statistics.histogram import Histogram

TIERS = [(30, 8_000, 12_000, 18_000), (100, 10_000, 15_000, 20_000)]
LIMITS: dict[str, Any] = {
    "tiers": [
        {"upToCalls": calls, "p50Microseconds": p50, "p95Microseconds": p95, "p99Microseconds": p99}
        for calls, p50, p95, p99 in TIERS
    ],
    "maxRttMicroseconds": 22_000,
    "maxLatePpm": 1_000,
    "maxLossPpm": 2_000,
    "windowSeconds": 60,
}


def window(at: float = 1.0, result: str = "Met", tier: int | None = 30, **changes: Any) -> LoadWindow:
    held: dict[str, Any] = {
        "at_seconds": at,
        "end_unix_seconds": 1000 + int(at),
        "start_unix_seconds": 1000,
        "active_calls": 30,
        "result": result,
        "reason": "WithinLimits",
        "tier_up_to_calls": tier,
        "above_tiers": False,
        "violations": (),
        "packets": 5_000,
        "p50_microseconds": 120,
        "p95_microseconds": 300,
        "p99_microseconds": 450,
        "max_microseconds": 2_100,
    }
    return LoadWindow(**(held | changes))


def violated(at: float, tier: int = 30, measured: int = 25_000) -> LoadWindow:
    return window(at, "Violated", tier, violations=(SlaViolation("maxRttMicroseconds", 22_000, measured),))


def report(active: int, *, end: int | None = 1000, result: str = "Met", tier: int | None = 30) -> Report:
    """`end` None: no packet of a call was measured."""
    windows: dict[str, Any] = {}
    if end is not None:
        histogram = Histogram()
        for value in range(100_000, 400_000, 1_000):
            histogram.record(value)
        held = export_histogram(histogram)
        assert held is not None
        windows["calls"] = {
            "startUnixSeconds": end - 60,
            "endUnixSeconds": end,
            "packets": 300,
            "answered": 300,
            "lost": 0,
            "late": {"source": 5, "relay": 2, "echo": 1},
            "reordered": 0,
            "duplicates": 0,
            "tooLate": 0,
            "roundTrip": {
                "counts": [list(pair) for pair in held.counts],
                "minNs": held.min_ns,
                "maxNs": held.max_ns,
                "scheme": held.scheme,
            },
        }
    document: dict[str, Any] = {
        "relay": "r",
        "node": "n",
        "softwareVersion": "1",
        "ready": True,
        "notReady": [],
        "draining": False,
        "ports": dict.fromkeys(("total", "free", "leased", "resting", "quarantined", "excluded", "draining"), 0)
        | {"range": "10000-10149"},
        "calls": {"active": active, "accepted": 0, "ended": 0, "cut": 0, "adopted": 0, "refused": {}},
        "ari": {"state": "Connected", "reconnects": 0},
        "media": {"workers": 1, "workersUp": 1, "restarts": 0, "rowOverruns": 0, "dropped": {}},
        "clock": {"stamps": "kernel", "steps": 0, "samplesDropped": 0},
        "echo": {"host": "127.0.0.1", "port": 4000},
        "sla": {
            "result": result,
            "reason": "WithinLimits",
            "activeCalls": active,
            "tierUpToCalls": tier,
            "aboveTiers": False,
            "violations": [],
        },
        "windows": windows,
    }
    return from_json(Report, document)
