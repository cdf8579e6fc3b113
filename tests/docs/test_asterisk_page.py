"""docs/asterisk.md shows the configuration of the tests, and every variable that a relay sets for a dialplan."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import get_args

import pytest

from rtppool_core.contract.report import FINDING_CODES
from rtppool_relay.calls.sound import SoundState
from rtppool_relay.calls.table import TABLE, CallEvent, CallState
from rtppool_relay.ports.interface import RefusalReason
from rtppool_relay.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/asterisk.md").read_text()
ASTERISK = ROOT / "tests/e2e/asterisk"
BLOCK = re.compile(r"^`(?P<file>\w+\.conf)`:.*?^```\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {match["file"]: match["text"] for match in BLOCK.finditer(PAGE)}
UDP_ROW = re.compile(r"^\| (?P<who>[^|]+) \| UDP (?P<ports>\d+(?:-\d+)?) \|", re.MULTILINE)
# The tests reach Asterisk from outside its node, with a password of their own.
DIFFERS = {"bindaddr", "password"}
DIALPLAN = BLOCKS["extensions.conf"]


def settings_of(text: str) -> dict[tuple[str, str], str]:
    """Return the values of a configuration by section and key."""
    section, found = "", {}
    for line in text.splitlines():
        if line.startswith("["):
            section = line
        elif "=" in line and not line.startswith(";"):
            key, _, value = line.partition("=")
            found[section, key.strip()] = value.strip()
    return found


def values_of(row: str) -> set[str]:
    """Return the values of a variable in the table."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{row}` |"))
    return set(re.findall(r"`(\w+)`", line.rsplit("|", 2)[1]))


def udp_ports() -> dict[str, range]:
    """Return the table of ports that must not overlap."""
    found = {}
    for match in UDP_ROW.finditer(PAGE):
        first, _, last = match["ports"].partition("-")
        found[match["who"]] = range(int(first), int(last or first) + 1)
    return found


@pytest.mark.parametrize("file", ["http.conf", "ari.conf", "rtp.conf"])
def test_a_file_on_the_page_is_the_one_of_the_tests(file: str) -> None:
    shown, used = settings_of(BLOCKS[file]), settings_of((ASTERISK / file).read_text())
    assert shown.keys() == used.keys()
    assert {at for at in shown if shown[at] != used[at]} <= {at for at in shown if at[1] in DIFFERS}


def test_the_dialplan_on_the_page_is_the_one_of_the_tests() -> None:
    assert (ASTERISK / "extensions.conf").read_text().startswith(DIALPLAN)


def test_the_page_has_every_reason_for_a_refusal() -> None:
    assert values_of("RTP_RELAY_REFUSED") == set(get_args(RefusalReason))


@pytest.mark.parametrize("reason", [*get_args(RefusalReason), "NoRelay", "i"])
def test_the_dialplan_handles_every_refusal(reason: str) -> None:
    refused = DIALPLAN.partition("[relay-refused]")[2].partition("\n[")[0]
    assert f"\nexten => {reason},1,Goto(" in refused


def test_the_page_has_every_reason_for_returning_an_answered_caller() -> None:
    returned = {
        event.value
        for state in CallState
        for event in CallEvent
        if (changed := TABLE[state][event]).state is not state
        and state is not CallState.BREAKING_OFF
        and ("release_caller" in changed.actions or changed.state is CallState.BREAKING_OFF)
    }
    assert values_of("RTP_RELAY_ENDED") == returned


def test_no_two_programs_of_a_node_share_a_port() -> None:
    assert len(udp_ports()) >= 6
    for one, other in combinations(udp_ports().values(), 2):
        assert not set(one) & set(other)


def test_the_table_of_ports_has_the_defaults() -> None:
    ports, settings = udp_ports(), read_settings({})
    assert list(ports["relay, one port a call"]) == list(settings.port_range)
    assert list(ports["echo"]) == [settings.echo.port]
    rtp = settings_of(BLOCKS["rtp.conf"])
    first, last = rtp["[general]", "rtpstart"], rtp["[general]", "rtpend"]
    assert ports["Asterisk's RTP"] == range(int(first), int(last) + 1)


def test_the_tests_load_the_modules_of_the_page() -> None:
    paragraph = PAGE.partition("`modules.conf`, where")[2].partition("\n\n")[0]
    loaded = (ASTERISK / "modules.conf").read_text()
    named = re.findall(r"`((?:app|bridge|chan|codec|res)_\w+)\*?`", paragraph)
    assert len(named) >= 10
    assert not [module for module in named if f"load = {module}" not in loaded]


def test_the_page_has_every_state_of_a_calls_media() -> None:
    for state in SoundState:
        assert f"| `{state.value}` |" in PAGE


def test_the_page_lists_every_finding_of_preflight_in_order() -> None:
    table = PAGE.partition("| code | finding | remedy |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(FINDING_CODES)


def test_every_finding_in_the_relay_s_source_has_a_listed_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "services/ari/src").rglob("*.py"))
    assert set(re.findall(r'Finding\(\s*"(\w+)"', source)) == set(FINDING_CODES)
