"""Impossible reports, and reports that would make a status unwritable."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.report import (
    BurstsReport,
    DirectedLossReport,
    HistogramExport,
    HostReport,
    LateByCause,
    PortsReport,
    Quarantine,
    Report,
    SlaReport,
    SlaViolation,
    UnreachableTier,
    WindowReport,
    Windows,
    WitnessReport,
)
from rtppool_operator.relays.reports import read_report
from rtppool_operator.status.merged_window import merge_windows

MakeReport = Callable[..., Report]


def check_report(report: Report) -> None:
    """Read a report as the operator does."""
    assert read_report(json.dumps(to_json(report)).encode()) == report


HUGE = 1 << 31


@pytest.fixture
def window(make_window: Callable[..., WindowReport]) -> WindowReport:
    return make_window(100, 200, 300, lost=1)


def test_a_report_with_everything_in_it_is_accepted(make_report: MakeReport, window: WindowReport) -> None:
    check_report(
        make_report(
            ports=PortsReport("10000-10100", 101, 90, 5, 3, 3, 2, 1, 4, (Quarantine(10000, "in use"),)),
            sla=SlaReport("Violated", "LimitExceeded", 3, 30, False, (SlaViolation("p99Microseconds", 1, 2),), 101),
            windows=Windows(
                calls=replace(
                    window,
                    skew_ppm=-200,
                    duplicates=6,
                    bursts=BurstsReport(4, 1, 1, 0, 0, 0, 0, 0, 0, 0),
                    residence=HistogramExport(((0, 1),), 0, 900),
                ),
                probe=window,
            ),
            config_error="pools[0].echo.port is 0; accepted is 1 to 65535",
        )
    )


def test_counts_since_the_start_of_a_relay_may_exceed_the_number_of_ports(make_report: MakeReport) -> None:
    ports = PortsReport("10000-10100", 101, 101, 0, 0, 0, 0, 0, reused_early=1 << 20, leaked=1 << 20)
    check_report(make_report(ports=ports))


def ports(total: int, free: int, leased: int = 0, **more: int) -> dict[str, Any]:
    return {"ports": PortsReport("10000-10100", total, free, leased, 0, 0, 0, more.get("draining", 0))}


def sla(**changes: Any) -> dict[str, Any]:
    return {"sla": replace(SlaReport("Unknown", "NoCalls", 0), **changes)}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (ports(101, 100), "ports.total is 101; accepted is free + leased + resting + quarantined, 100"),
        (ports(1, -1, 2), "ports.free: -1; accepted is a whole number from 0 to 65536"),
        (ports(HUGE, HUGE), "ports.total: 2147483648; accepted is a whole number from 0 to 65536"),
        (ports(1, 1, draining=-1), "ports.draining: -1"),
        (ports(10**400, 10**400), "ports.total: 1000"),
        ({"applied_generation": -1}, "appliedGeneration: -1"),
        ({"applied_generation": 1 << 63}, "appliedGeneration: 9223372036854775808"),
        (sla(reason="the calls are late today"), "sla.reason is 'the calls are late today'; accepted is one word"),
        (sla(reason=""), "sla.reason is ''"),
        (sla(reason="A" * 65), "accepted is one word"),
        (sla(active_calls=HUGE), "sla.activeCalls: "),
        (sla(tier_up_to_calls=-1), "sla.tierUpToCalls: "),
        (sla(violations=(SlaViolation("p50Microseconds", 1, HUGE),)), "sla.violations[0].measured: "),
        (sla(unreachable_tiers=(UnreachableTier(HUGE, "beyond"),)), "sla.unreachableTiers[0].upToCalls: "),
        ({"config_error": "x" * 5_000}, "accepted is text of at most 4096 characters"),
        ({"not_ready": ("fine", "x" * 5_000)}, "notReady[1]: "),
        ({"software_version": "\ud800"}, "not JSON"),
    ],
)
def test_what_a_report_can_not_hold_is_told(make_report: MakeReport, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_report(make_report(**changes))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("active", "refused"), [(-1, {}), (HUGE, {}), (0, {"NoPort": -1}), (0, {"NoPort": HUGE}), (0, {"x" * 5_000: 1})]
)
def test_counts_of_calls_have_bounds(make_report: MakeReport, active: int, refused: dict[str, int]) -> None:
    calls = replace(make_report().calls, active=active, refused=refused)
    with pytest.raises(ValueError):
        check_report(make_report(calls=calls))


@pytest.mark.parametrize(
    "changes",
    [
        {"packets": -1},
        {"packets": HUGE},
        {"end_unix_seconds": -60},
        {"end_unix_seconds": 10**9},
        {"lost": 1_000_000},
        {"late": LateByCause(relay=1_000_000)},
        {"late": LateByCause(echo=-1)},
        {"late": LateByCause(host=1_000_000)},
        {"late": LateByCause(host=-1)},
        {"late": LateByCause(judged=1_000_000)},
        {"late": LateByCause(judged=-1)},
        {"duplicates": 10_000_000},
        {"skew_ppm": -HUGE},
        {"jitter_microseconds": HUGE},
        {"round_trip": HistogramExport(((1, 1),), 5, 4)},
        {"round_trip": HistogramExport(((1, 1),), -1, 4)},
        {"round_trip": HistogramExport(((1, 1),), 0, 1 << 62)},
        {"round_trip": HistogramExport(((1, -1),), 0, 1)},
    ],
)
@pytest.mark.parametrize("which", ["calls", "probe"])
def test_a_window_that_can_not_be_is_refused(
    make_report: MakeReport, window: WindowReport, which: str, changes: dict[str, Any]
) -> None:
    windows = Windows(**{which: replace(window, **changes)})
    with pytest.raises(ValueError):
        check_report(make_report(windows=windows))


@pytest.mark.parametrize(
    "changes",
    [
        {"window_seconds": -1},
        {"window_seconds": HUGE},
        {"cpu_seconds": -0.1},
        {"cpu_seconds": 1e300},
        {"stolen_milliseconds": -1},
        {"run_delay_milliseconds": 1 << 62},
        {"throttled_periods": -1},
        {"late_packets": -1},
        {"late_in_host_seconds": 1 << 62},
        {"witnesses": (WitnessReport("steal", present=False, reason="x" * 5_000),)},
    ],
)
def test_host_time_that_can_not_be_is_refused(make_report: MakeReport, changes: dict[str, Any]) -> None:
    host = HostReport(window_seconds=60, cpu_seconds=122.0, stolen_milliseconds=3_000)
    check_report(make_report(host=host))
    with pytest.raises(ValueError):
        check_report(make_report(host=replace(host, **changes)))


def test_a_report_is_of_its_pod_s_node(make_report: MakeReport) -> None:
    reports = {node: json.dumps(to_json(make_report(node=node))).encode() for node in "ab"}
    assert read_report(reports["a"], "a").node == "a"
    with pytest.raises(ValueError, match="its report is of node 'b'; accepted is its pod's, 'a'"):
        read_report(reports["b"], "a")


FEW = st.integers(0, 3)
WILD = st.sampled_from([(1 << 31) - 1, 1 << 31, (1 << 63) - 1, 5_000]) | st.integers(0, 1 << 40)
PARTS = (
    *("answered", "lost", "reordered", "duplicates", "too_late", "source_lost", "dscp_changed"),
    *("source_dscp_mismatches", "jitter_microseconds", "skew_ppm"),
)


@st.composite
def windows(draw: st.DrawFn) -> WindowReport:
    """A window of small numbers, some of them replaced by wild ones."""

    def number() -> int:
        return draw(WILD if draw(st.integers(0, 9)) == 0 else FEW)

    numbers: dict[str, Any] = {name: number() for name in PARTS}
    return WindowReport(
        start_unix_seconds=0,
        end_unix_seconds=60,
        packets=number(),
        late=LateByCause(*(number() for _ in range(3)), *(number() if draw(st.booleans()) else None for _ in range(2))),
        directed_loss=DirectedLossReport(number(), number(), number()) if draw(st.booleans()) else None,
        bursts=BurstsReport(*(number() for _ in range(10))) if draw(st.booleans()) else None,
        round_trip=HistogramExport(((number(), number()),), 0, number()) if draw(st.booleans()) else None,
        **numbers,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(windows(), min_size=1, max_size=3))
def test_what_is_accepted_adds_up_to_what_the_definition_takes(
    make_report: MakeReport, definition: dict[str, Any], reported: list[WindowReport]
) -> None:
    accepted = []
    for window in reported:
        with contextlib.suppress(ValueError):
            check_report(make_report(windows=Windows(calls=window)))
            accepted.append(window)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    formats = {
        name: each["format"]
        for name, each in schema["properties"]["latency"]["properties"]["calls"]["properties"].items()
        if each["type"] == "integer"
    }
    figures = merge_windows(accepted)
    assert isinstance(figures.pop("sourceSkewClamped", False), bool)
    for name, value in figures.items():
        most = (1 << 31 if formats[name] == "int32" else 1 << 63) - 1
        assert abs(value) <= most, name
