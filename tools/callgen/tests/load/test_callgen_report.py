"""The report and the chart of a load test."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_cases import LIMITS, violated, window
from rich.console import Console, RenderableType

from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.load.call_ledger import RecordCounts
from rtppool_callgen.load.chart import NAMES_APART, ChartFacts, _apart, _End, load_chart
from rtppool_callgen.load.progress import LoadView, live_view, plain_line, summary
from rtppool_callgen.load.relay_counts import RelayCounts
from rtppool_callgen.load.report import LoadOutcome, Polls, RelayFacts, load_report
from rtppool_callgen.load.windows import LoadWindow
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.process.machine import Machine
from rtppool_core.statistics.histogram import Histogram

SVG = "{http://www.w3.org/2000/svg}"
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


def chart(windows: list[LoadWindow], **changes: Any) -> ET.Element:
    facts = ChartFacts("Met", "All <is> well & fine.", "A machine", 30, 63.0, LIMITS)
    return ET.fromstring(load_chart(windows, replace(facts, **changes)))  # noqa: S314 our own document


def words(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def text(shown: RenderableType) -> str:
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


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


def test_the_chart_names_every_line_with_its_unit() -> None:
    found = words(chart([window(at) for at in range(1, 60)]))
    for name in ("p50", "p95", "p99", "max", "p50 limit", "p95 limit", "p99 limit", "max limit", "active", "asked for"):
        assert name in found, name
    for cause in ("source", "relay", "echo", "limit relay+echo"):
        assert cause in found, cause
    assert {"ms, logarithmic", "calls", "ppm, logarithmic", "seconds since the load began"} <= set(found)


def test_the_chart_draws_the_limits_of_each_windows_tier() -> None:
    svg = chart([window(1), window(2, tier=100), window(3, tier=100)])
    (limit,) = [line for line in svg.iter(f"{SVG}polyline") if line.get("class") == "line limit p50"]
    heights = [point.split(",")[1] for point in str(limit.get("points")).split()]
    assert heights[0] != heights[1]
    assert heights[1] == heights[2]


def test_what_was_not_measured_is_a_gap_in_the_line() -> None:
    svg = chart([window(1), window(2), window(3, p99_microseconds=None), window(4), window(5)])
    pieces = [line for line in svg.iter(f"{SVG}polyline") if line.get("class") == "line p99"]
    assert [len(str(piece.get("points")).split()) for piece in pieces] == [2, 2]


def test_a_chart_of_nothing_is_a_picture_that_says_so() -> None:
    svg = chart([], sentence="Nothing was measured: no call was placed. This is no result.", limits=None)
    assert "Nothing was measured: no call was placed. This is no result." in words(svg)


@given(st.text(max_size=60))
def test_whatever_words_stand_in_it_the_chart_is_xml(words_of_another: str) -> None:
    chart([], sentence=words_of_another, subtitle=words_of_another, result="NothingMeasured")


def test_the_chart_follows_light_and_dark() -> None:
    style = chart([window(1)]).findtext(f"{SVG}style") or ""
    assert "@media(prefers-color-scheme:dark)" in style
    for kind in ("p50", "p95", "p99", "max", "source", "relay", "echo", "bound"):
        assert len(re.findall(rf"\.{kind}{{stroke:", style)) == 2, kind


@given(
    st.lists(
        st.builds(
            window,
            st.floats(0, 400),
            st.sampled_from(["Met", "Violated", "Unknown"]),
            st.sampled_from([30, 100, None]),
            packets=st.integers(0, 10**7),
            late_source=st.integers(0, 10**7),
            p50_microseconds=st.none() | st.integers(0, 10**8),
            p99_microseconds=st.none() | st.integers(0, 10**8),
            max_microseconds=st.none() | st.integers(0, 10**8),
            active_calls=st.integers(0, 5000),
        ),
        max_size=8,
    )
)
def test_whatever_was_measured_every_point_lies_on_the_picture(windows: list[LoadWindow]) -> None:
    svg = chart(windows)
    _, _, width, height = map(float, str(svg.get("viewBox")).split())
    for line in svg.iter(f"{SVG}polyline"):
        for point in str(line.get("points")).split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


@given(st.lists(st.floats(0, 200), max_size=10))
def test_names_at_the_ends_of_lines_do_not_lie_on_each_other(heights: list[float]) -> None:
    placed = _apart([_End(y, str(number), "relay") for number, y in enumerate(heights)], 0, 200)
    gaps = [lower.y - upper.y for upper, lower in pairwise(placed)]
    assert all(gap >= NAMES_APART - 1e-6 for gap in gaps)


def test_the_live_view_has_bar_calls_and_percentiles() -> None:
    view = LoadView(12.0, Tally(placed=31, completed=1), window(10))
    shown = text(live_view(view, PLAN, "http://127.0.0.1:9090"))
    assert "12 of 63 s" in shown
    assert "calls 30 of 30 talk, 31 of 60 placed, 1 completed, 0 refused, 0 failed" in shown
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
