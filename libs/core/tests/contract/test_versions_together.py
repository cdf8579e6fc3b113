"""Documents of version 1 between programs of different releases: a new field is optional on both sides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtppool_core.contract.codec import ContractError, decode, from_json, to_json
from rtppool_core.contract.pools_file import (
    NodeAssignment,
    PoolEntry,
    PoolsDocument,
    SlaLimits,
    decode_for_node,
    encode,
)
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import HostReport, LateByCause, Report, WindowReport, WitnessReport

# As a relay of the release before the host's share publishes it.
EARLIER_WINDOW: dict[str, Any] = {
    "startUnixSeconds": 0,
    "endUnixSeconds": 60,
    "packets": 1000,
    "answered": 999,
    "lost": 1,
    "late": {"source": 5, "relay": 2, "echo": 1},
    "reordered": 0,
    "duplicates": 0,
    "tooLate": 0,
}
EARLIER_REPORT: dict[str, Any] = {
    "version": 1,
    "relay": "relay",
    "node": "a",
    "softwareVersion": "0.1.0",
    "ready": True,
    "notReady": [],
    "draining": False,
    "ports": {
        "range": "10000-10100",
        **dict.fromkeys(("total", "free", "leased", "resting", "quarantined", "excluded", "draining"), 0),
    },
    "calls": {"active": 0, "accepted": 0, "ended": 0, "cut": 0, "adopted": 0, "refused": {}},
    "ari": {"state": "Connected", "reconnects": 0},
    "media": {"workers": 1, "workersUp": 1, "restarts": 0, "rowOverruns": 0, "dropped": {}},
    "clock": {"stamps": "kernel", "steps": 0, "samplesDropped": 0},
    "echo": {"host": "127.0.0.1", "port": 4000},
    "sla": {"result": "Unknown", "reason": "NoCalls", "activeCalls": 0},
    "windows": {"calls": EARLIER_WINDOW},
}
EARLIER_LIMITS = {"maxLatePpm": 500, "windowSeconds": 30}


def test_a_report_of_an_earlier_relay_is_read_and_its_late_packets_count_as_it_judged_them() -> None:
    report = decode(Report, json.dumps(EARLIER_REPORT))
    assert report.host is None
    assert report.windows.calls is not None
    late = report.windows.calls.late
    assert (late.host, late.judged) == (None, None)
    assert (late.counted, late.here, late.all_causes) == (3, 3, 8)


def test_a_report_keeps_every_field_that_an_earlier_operator_requires() -> None:
    report = decode(Report, json.dumps(EARLIER_REPORT))
    published = to_json(report)
    assert _missing(EARLIER_REPORT, published) == []


def test_late_packets_count_as_the_relay_judged_them() -> None:
    late = from_json(LateByCause, {"source": 5, "relay": 2, "echo": 1, "host": 4, "judged": 6})
    assert (late.counted, late.here, late.all_causes) == (6, 7, 12)


def test_host_time_travels_with_its_witnesses_and_a_missing_figure_is_absent() -> None:
    host = HostReport(
        window_seconds=60,
        cpu_seconds=122.0,
        stolen_milliseconds=3_000,
        echo="NotReported",
        witnesses=(WitnessReport("steal", present=True), WitnessReport("throttling", present=False, reason="no limit")),
    )
    document = to_json(host)
    assert document == {
        "windowSeconds": 60,
        "cpuSeconds": 122.0,
        "stolenMilliseconds": 3000,
        "echo": "NotReported",
        "witnesses": [
            {"name": "steal", "present": True},
            {"name": "throttling", "present": False, "reason": "no limit"},
        ],
    }
    assert from_json(HostReport, document) == host


def test_limits_of_an_earlier_operator_judge_no_host_time() -> None:
    assert from_json(SlaLimits, EARLIER_LIMITS) == SlaLimits(max_late_ppm=500, window_seconds=30, judge_host=False)


@pytest.mark.parametrize("judge_host", [True, False])
def test_the_choice_to_judge_the_host_reaches_the_relay(judge_host: bool) -> None:
    entry = PoolEntry(
        "default",
        "voice",
        "u-1",
        3,
        (NodeAssignment("mine"),),
        PortRange(10000, 10100),
        sla=SlaLimits(judge_host=judge_host),
    )
    text = encode(PoolsDocument((entry,)))
    read = decode_for_node(text, "mine")
    assert read is not None
    assert read.sla.judge_host is judge_host


def test_a_choice_that_is_none_is_refused_by_its_name() -> None:
    with pytest.raises(ContractError, match="judgeHost: 'yes'; accepted is true or false"):
        from_json(SlaLimits, {"judgeHost": "yes"})


def test_fields_of_a_later_release_are_ignored() -> None:
    later = {**EARLIER_WINDOW, "late": {"relay": 1, "weather": 3}, "weather": {"rain": 1}}
    assert from_json(WindowReport, later).late == LateByCause(relay=1)


def _missing(wanted: Any, found: Any, place: str = "") -> list[str]:
    if not isinstance(wanted, dict):
        return [] if wanted == found else [place]
    if not isinstance(found, dict):
        return [place]
    return [each for name, value in wanted.items() for each in _missing(value, found.get(name), f"{place}.{name}")]
