"""The report and the chart of a load test."""

from __future__ import annotations

import json
from typing import Any

import pytest
from load_cases import LIMITS, violated, window
from rich.console import Console, RenderableType

from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.load.call_ledger import RecordCounts
from rtppool_callgen.load.progress import LoadView, live_view, plain_line, summary
from rtppool_callgen.load.relay_counts import RelayCounts
from rtppool_callgen.load.report import LoadOutcome, Polls, RelayFacts, load_report
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.process.machine import Machine
from rtppool_core.statistics.histogram import Histogram

PLAN = LoadPlan(concurrent=30, per_second=10, duration_seconds=60, call_seconds=30)
MACHINE = Machine("A Processor <2.6 GHz> & more", 2, "6.1", "3.13.1", 0.4, "2026-01-01T00:00:00+00:00", 2048)


def outcome(**changes: Any) -> LoadOutcome:
    trips = Histogram()
    trips.record(250_000)
    counts = RelayCounts()
    counts.add({"calls": {"active": 0, "accepted": 0, "refused": {}}, "ports": {"leased": 0}})
    counts.add({"calls": {"active": 0, "accepted": 60, "refused": {}}, "ports": {"leased": 0}})
    held: dict[str, Any] = {
        "plan": PLAN,
        "machine": MACHINE,
        "load_at_end": 1.5,
        "began_unix_seconds": 1000.0,
        "ended_unix_seconds": 1065.0,
        "callers": {"kind": "stand-in"},
        "relay": RelayFacts("http://127.0.0.1:9090", "n", "0.1.0", "10000-10149", "kernel", LIMITS),
        "counts": counts,
        "polls": Polls(65, {}),
        "windows": [window(1), window(2)],
        "tally": Tally(
            placed=60, completed=60, heard_nothing=0, round_trips=trips, channels_left=0, bridges_left=0, over=True
        ),
        "records": RecordCounts(60, 0, 0, 0, 0),
    }
    return LoadOutcome(**(held | changes))


def text(shown: RenderableType) -> str:
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def test_a_violated_window_is_in_the_report_with_its_limit_and_both_values() -> None:
    document = json.loads(json.dumps(load_report(outcome(windows=[violated(1, measured=25_000)])).document))
    (violation,) = document["windows"][0]["violations"]
    assert violation["measured"] == 25_000
    assert set(violation) == {"limit", "accepted", "measured"}


def test_the_report_has_machine_settings_verdicts_by_tier_counts_and_every_window() -> None:
    document = json.loads(json.dumps(load_report(outcome()).document))
    assert document["version"] == 1
    assert document["machine"] == {
        "processor": "A Processor <2.6 GHz> & more",
        "cores": 2,
        "kernel": "6.1",
        "python": "3.13.1",
        "load": 0.4,
        "began": "2026-01-01T00:00:00+00:00",
        "memoryMebibytes": 2048,
        "loadAtEnd": 1.5,
    }
    assert document["settings"] == {
        "concurrent": 30,
        "perSecond": 10,
        "durationSeconds": 60,
        "callSeconds": 30,
        "callers": {"kind": "stand-in"},
    }
    assert document["verdict"]["result"] == "Met"
    assert document["verdict"]["exitCode"] == 0
    assert document["calls"]["placed"] == 60
    assert document["tiers"][0]["upToCalls"] == 30
    assert document["relay"]["limits"] == LIMITS
    assert document["callerRoundTrip"]["p50Microseconds"] == 250
    assert [each["atSeconds"] for each in document["windows"]] == [1.0, 2.0]


def test_what_nobody_told_is_null_and_never_zero() -> None:
    bare = outcome(tally=Tally(placed=60, completed=60), records=None)
    document = json.loads(json.dumps(load_report(bare).document))
    calls = document["calls"]
    for name in ("orphans", "leakedPorts", "zeroRoundTrip", "missingRoundTrip", "heardNothing"):
        assert calls[name] is None, name
    assert document["callerRoundTrip"] is None
    assert document["records"] is None
    assert document["relay"]["setup"] is None


def test_a_relays_durations_are_reported_without_their_buckets() -> None:
    counts = RelayCounts()
    counts.add({"calls": {"active": 0, "refused": {}, "setup": {"samples": 3, "buckets": [[500, 3]]}}, "ports": {}})
    assert load_report(outcome(counts=counts)).document["relay"]["setup"] == {"samples": 3}


def test_the_live_view_has_bar_calls_and_percentiles() -> None:
    view = LoadView(12.0, Tally(placed=31, completed=1), window(10))
    shown = text(live_view(view, PLAN, "http://127.0.0.1:9090"))
    assert "12 of 63 s" in shown
    assert "calls 30 of 30 active, 31 of 60 placed, 1 completed, 0 refused, 0 failed" in shown
    assert "round trip p50 0.12 ms, p95 0.30 ms, p99 0.45 ms, max 2.10 ms" in shown
    assert "SLA Met (WithinLimits, tier up to 30 calls)" in shown


def test_before_the_first_window_nothing_is_shown_as_measured() -> None:
    assert "no packet of a call measured yet" in plain_line(LoadView(1.0, Tally(), None), PLAN)


def test_a_relay_that_can_not_be_read_is_said_while_it_lasts() -> None:
    line = plain_line(LoadView(1.0, Tally(), None, "http://127.0.0.1:9090/status can't be read: no answer"), PLAN)
    assert line.endswith("http://127.0.0.1:9090/status can't be read: no answer")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Met: all 2 judged windows are within the limits; 60 of 60 calls completed."),
        ({"windows": [violated(1)]}, "Violated in 1 of 1 judged windows"),
        ({"windows": []}, "Nothing was measured: "),
    ],
)
def test_the_end_says_the_verdict_first(changes: dict[str, Any], expected: str) -> None:
    shown = text(summary(load_report(outcome(**changes)), ("report.json", "chart.svg")))
    assert shown.startswith(expected)
    assert "report report.json   chart chart.svg" in shown
