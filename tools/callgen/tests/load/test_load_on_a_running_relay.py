"""A load on a relay that runs already, as the Job of examples/callgen places it: the stand-in is all that it starts."""

from __future__ import annotations

import argparse
import io
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from rtppool_callgen.callers import stand_in
from rtppool_callgen.load.options import add_load_command, load_options, problems_of
from rtppool_callgen.load.relay_reader import RelayReader
from rtppool_callgen.load.report import LoadReport
from rtppool_callgen.load.run import run_load
from rtppool_callgen.local.system import LocalSystem, StandInAddress, end_all, start_services, until_ready
from rtppool_core.process.service import Stop
from rtppool_testing.ports import free_port, free_range

pytestmark = pytest.mark.timeout(180)
PASSWORD = "opensesame"
PLAN = ("--concurrent", "4", "--duration", "6", "--call-duration", "2.9", "--per-second", "20")


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[tuple[LocalSystem, StandInAddress]]:
    """A relay and its echo, without anything at the relay's ARI_URL."""
    http, echo_http, echo = (free_port() for _ in range(3))
    system = LocalSystem(http, echo_http, str(free_range(16)), echo, "off")
    ari = StandInAddress(free_port(), PASSWORD, user="synthetic")
    children = start_services(system, ari, tmp_path)
    async with aiohttp.ClientSession(base_url=system.address) as session:
        await until_ready(session, children, Stop())
    yield system, ari
    await end_all(children)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    monkeypatch.setenv("ARI_USER", "synthetic")
    monkeypatch.setenv("ARI_PASS_FILE", str(password))


async def load(output: Path, system: LocalSystem, ari: StandInAddress) -> LoadReport:
    parser = argparse.ArgumentParser()
    add_load_command(parser.add_subparsers())
    words = ("load", "--output", str(output), "--relay-url", system.address, "--ari-url", ari.url)
    options = parser.parse_args([*words, *PLAN])
    assert not problems_of(options)
    chosen, stop = load_options(options), Stop()
    callers = chosen.make_callers(output, stop)
    return await run_load(chosen.load, callers, RelayReader(chosen.relay_url, ""), Console(file=io.StringIO()), stop)


async def test_every_call_goes_through_the_running_relay_and_nothing_is_left(
    relay: tuple[LocalSystem, StandInAddress], tmp_path: Path
) -> None:
    report = await load(tmp_path, *relay)
    calls = report.document["calls"]
    assert (calls["planned"], calls["placed"], calls["completed"]) == (8, 8, 8), report.verdict.sentence
    for leftover in ("interrupted", "orphans", "leakedPorts", "zeroRoundTrip", "missingRoundTrip", "heardNothing"):
        assert calls[leftover] == 0, leftover
    assert report.document["settings"]["callers"] == {
        "kind": "stand-in",
        "ariUrl": relay[1].url,
        "application": "rtp-pool",
    }
    assert PASSWORD not in json.dumps(report.document)


async def test_a_relay_that_does_not_connect_is_named_with_the_settings_to_compare(
    relay: tuple[LocalSystem, StandInAddress], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("ARI_USER", "another")
    report = await load(tmp_path, *relay)
    assert report.verdict.exit_code == 3
    assert f"no relay connected to the stand-in at {relay[1].url}" in report.verdict.sentence
    assert "the user another with the password" in report.verdict.sentence


async def test_an_asterisk_at_the_address_of_the_stand_in_is_left_alone(
    relay: tuple[LocalSystem, StandInAddress], tmp_path: Path
) -> None:
    with socket.socket() as asterisk:
        asterisk.bind((relay[1].host, relay[1].port))
        asterisk.listen()
        report = await load(tmp_path, *relay)
    assert report.verdict.exit_code == 3
    assert str(relay[1].port) in report.verdict.sentence
