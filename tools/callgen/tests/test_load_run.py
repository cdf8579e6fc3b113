"""Real loads: echo, relay and stand-in as processes, real sockets, a report on the disk."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from load_machine import free_ports, free_range

# The relay's start, a load of some seconds and the judging of its last packets, on a machine that has other work.
pytestmark = pytest.mark.timeout(180)
PORTS = 12


@asynccontextmanager
async def load(output: Path, *arguments: str) -> AsyncIterator[Process]:
    http, echo_http, echo = free_ports()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtppool_callgen", "load", "--output", str(output)),
        *("--http-port", str(http), "--echo-http-port", str(echo_http), "--echo-port", str(echo)),
        # A machine that has much other work would refuse calls, as it should.
        *("--port-range", free_range(PORTS), "--admission", "off", *arguments),
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            # By SIGTERM it ends its own processes as well.
            process.terminate()
        await process.communicate()


async def said_until_end(process: Process) -> tuple[int, str]:
    assert process.stdout is not None
    output = await process.stdout.read()
    return await process.wait(), " ".join(output.decode().split())


async def run(output: Path, *arguments: str) -> tuple[int, str]:
    async with load(output, *arguments) as process:
        return await said_until_end(process)


def reported(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((output / "report.json").read_text())
    return document


async def test_a_short_load_accounts_for_every_call_and_its_exit_code_is_the_verdicts(tmp_path: Path) -> None:
    plan = ("--concurrent", "4", "--duration", "8", "--call-duration", "4", "--per-second", "4")
    code, said = await run(tmp_path, *plan)
    report = reported(tmp_path)
    calls, verdict = report["calls"], report["verdict"]
    refused, failed = sum(calls["refused"].values()), sum(calls["failed"].values())
    assert calls["planned"] == 8, said
    assert (calls["placed"], calls["completed"]) == (8, 8)
    assert (refused, failed) == (0, 0)
    for leftover in ("interrupted", "orphans", "leakedPorts", "portsLeasedByNobody"):
        assert calls[leftover] == 0, leftover
    for unheard in ("zeroRoundTrip", "missingRoundTrip", "heardNothing"):
        assert calls[unheard] == 0, unheard
    assert report["records"]["records"] == calls["completed"]
    # Whether packets were in time is this machine's matter; what follows from it is ours.
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


async def test_a_load_too_short_to_be_judged_is_no_result_and_says_so(tmp_path: Path) -> None:
    plan = ("--concurrent", "1", "--duration", "2", "--call-duration", "2", "--per-second", "1")
    code, said = await run(tmp_path, *plan)
    verdict = reported(tmp_path)["verdict"]
    assert (code, verdict["result"], verdict["exitCode"]) == (3, "NothingMeasured", 3)
    assert "Nothing was measured: 1 call placed, and the relay judged none of" in said
    assert "This is no result." in said


async def test_interrupted_it_reports_what_there_is(tmp_path: Path) -> None:
    plan = ("--concurrent", "2", "--duration", "120", "--call-duration", "60", "--per-second", "2")
    async with load(tmp_path, *plan) as process:
        assert process.stdout is not None
        while b"2 of 2 talk" not in (line := await process.stdout.readline()):
            assert line, "the load ended by itself"
        process.send_signal(signal.SIGINT)
        code, said = await said_until_end(process)
    report = reported(tmp_path)
    assert report["time"]["interrupted"] is True
    assert report["calls"]["interrupted"] == 2
    assert report["calls"]["completed"] == 0
    assert report["calls"]["orphans"] == 0
    assert report["callerRoundTrip"]["samples"] > 0
    assert code == report["verdict"]["exitCode"]
    assert report["verdict"]["sentence"] in said


async def test_a_relay_that_can_not_start_is_a_report_with_its_own_words(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, said = await run(tmp_path, "--http-port", port, "--concurrent", "1", "--duration", "30")
    assert code == 3
    assert f"HTTP_PORT={port}" in said
    assert f"HTTP_PORT={port}" in reported(tmp_path)["verdict"]["sentence"]
