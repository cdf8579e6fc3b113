"""Real loads: echo, relay and stand-in as processes, real sockets, a report on the disk."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from rtppool_callgen.cli import main
from rtppool_callgen.load import run as load_run
from rtppool_testing.ports import free_port, free_range

# The relay's start, a load of some seconds and the judging of its last packets, on a machine that has other work.
pytestmark = pytest.mark.timeout(180)
# For 16 calls, and for as many ports that rest after a call.
PORTS = 60


@pytest.fixture(autouse=True)
def _frequent_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_run, "STATUS_SECONDS", 0.1)
    monkeypatch.setattr(load_run, "PLAIN_EVERY_SECONDS", 0.1)


def command(output: Path, *arguments: str) -> list[str]:
    http, echo_http, echo = (str(free_port()) for _ in range(3))
    return [
        *("load", "--output", str(output), "--http-port", http, "--echo-http-port", echo_http, "--echo-port", echo),
        # A machine that has much other work would refuse calls, as it should.
        *("--port-range", str(free_range(PORTS)), "--admission", "off", *arguments),
    ]


def run(capsys: pytest.CaptureFixture[str], output: Path, *arguments: str) -> tuple[int, str]:
    code = main(command(output, *arguments))
    return code, " ".join(capsys.readouterr().out.split())


def reported(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((output / "report.json").read_text())
    return document


def test_a_short_load_accounts_for_every_call_and_its_exit_code_is_the_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A window has its first packets some 5 s after them, and that must be before the last call ends.
    plan = ("--concurrent", "16", "--duration", "8", "--call-duration", "3.9", "--per-second", "40")
    code, said = run(capsys, tmp_path, *plan)
    report = reported(tmp_path)
    calls, verdict = report["calls"], report["verdict"]
    refused, failed = sum(calls["refused"].values()), sum(calls["failed"].values())
    assert calls["planned"] == 32, said
    assert (calls["placed"], calls["completed"]) == (32, 32)
    assert (refused, failed) == (0, 0)
    for leftover in ("interrupted", "orphans", "leakedPorts", "portsLeasedByNobody"):
        assert calls[leftover] == 0, leftover
    for unheard in ("zeroRoundTrip", "missingRoundTrip", "heardNothing"):
        assert calls[unheard] == 0, unheard
    assert report["records"]["records"] == calls["completed"]
    # This machine decides whether packets were in time. The test covers the consequences.
    assert verdict["sla"] in {"Met", "Violated"}
    assert code == verdict["exitCode"] == (0 if verdict["sla"] == "Met" else 1)
    assert verdict["sentence"] in said
    assert_measured(report)
    ET.parse(tmp_path / "chart.svg")  # noqa: S314 our own picture


def assert_measured(report: dict[str, Any]) -> None:
    """Round trips of the same packets by the relay and by the callers, whose hold the relay's residence too."""
    windows = [window for window in report["windows"] if window["packets"]]
    last, caller = windows[-1], report["callerRoundTrip"]
    assert last["packets"] > 1000
    assert 0 < last["p50Microseconds"] <= last["p99Microseconds"] <= last["maxMicroseconds"]
    assert caller["samples"] > 1000
    assert caller["p50Microseconds"] >= last["p50Microseconds"]
    assert report["relay"]["setup"]["samples"] == report["calls"]["completed"]
    assert report["polls"]["read"] > 0


def test_a_load_too_short_to_be_judged_is_no_result_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ("--concurrent", "1", "--duration", "1", "--call-duration", "1", "--per-second", "1")
    code, said = run(capsys, tmp_path, *plan)
    verdict = reported(tmp_path)["verdict"]
    assert (code, verdict["result"], verdict["exitCode"]) == (3, "NothingMeasured", 3)
    assert "Nothing was measured: 1 call placed, and the relay judged none of" in said
    assert "This is no result." in said


class InterruptedOutput(io.StringIO):
    """Presses Ctrl-C as soon as both calls are active."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed = False

    def write(self, text: str, /) -> int:
        if "2 of 2 active" in text and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)
        return super().write(text)


def test_interrupted_it_reports_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = InterruptedOutput()
    monkeypatch.setattr(sys, "stdout", output)
    code = main(
        command(tmp_path, "--concurrent", "2", "--duration", "120", "--call-duration", "60", "--per-second", "2")
    )
    said = " ".join(output.getvalue().split())
    assert output.pressed, said
    report = reported(tmp_path)
    assert report["time"]["interrupted"] is True
    assert report["calls"]["interrupted"] == 2
    assert report["calls"]["completed"] == 0
    assert report["calls"]["orphans"] == 0
    assert report["callerRoundTrip"]["samples"] > 0
    assert code == report["verdict"]["exitCode"]
    assert report["verdict"]["sentence"] in said


def test_an_echo_that_can_not_start_is_a_report_with_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        code, said = run(capsys, tmp_path, "--concurrent", "1", "--duration", "30", "--echo-port", port)
    assert code == 3
    assert f"UDP 127.0.0.1:{port} can't be bound" in said
    assert f"UDP 127.0.0.1:{port} can't be bound" in reported(tmp_path)["verdict"]["sentence"]
