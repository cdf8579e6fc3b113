"""The short form of `make chaos`: each fault once or twice, and chosen cases, under ten calls.

Asterisk and SIPp run as processes from root file systems (`python -m lab.cluster phones`), which needs root. The
cluster is not used.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.faults.calls.rig.rig import TAKES_ALL, Ports, running_rig
from lab.faults.calls.rig.rooted import PhoneRoots
from lab.faults.calls.rounds.faults import FAULTS, HUNG_UP_MEANWHILE, Fault
from lab.faults.calls.rounds.rounds import play
from lab.faults.calls.rows.cases import CASE_ROWS
from lab.faults.calls.rows.rows import ROWS, Row, Stage, play_row

CALLS = 10
# A connection is reset in odd rounds, and swallowed in even ones.
ROUNDS = {"websocket": 2}
SHORT_ROWS = [row for row in ROWS if row.name != "load"]
CASE_OF_ROW = {
    "descriptors": ("relay control", "relay media process", "echo"),
    "idle": ("relay control", "echo"),
    "hostile": ("500 to both lists, relay killed", "no optional field in a list", "a gzip bomb"),
}
CASES = [(row, case) for row in CASE_ROWS for case in CASE_OF_ROW.get(row.name, ())]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_calls_outlive_a_fault_or_are_accounted_for(fault: Fault, roots: PhoneRoots, folder: Path) -> None:
    async with running_rig(roots, folder, Ports(), through_proxy=fault.through_proxy, chain=TAKES_ALL) as rig:
        for number in range(1, ROUNDS.get(fault.name, 1) + 1):
            result = await play(rig, fault, number, CALLS)
            assert result.findings == [], rig.relay.log_text()[-4000:]
            assert result.survived + result.cut >= CALLS - HUNG_UP_MEANWHILE


@pytest.mark.parametrize(("row", "case"), CASES, ids=lambda value: value if isinstance(value, str) else value.name)
async def test_a_case_of_each_row_of_cases_holds(row: Row, case: str, roots: PhoneRoots, folder: Path) -> None:
    result = await play_row(Stage(roots, folder, print, CALLS, frozenset({case})), row)
    assert [figure.name for figure in result.figures] == [case]
    assert result.findings == [], result.relay_log


@pytest.mark.parametrize("row", SHORT_ROWS, ids=lambda row: row.name)
async def test_what_is_asked_of_a_relay_with_asterisk_holds(row: Row, roots: PhoneRoots, folder: Path) -> None:
    """Times are judged by `make chaos` alone: here the machine's other load is unknown."""
    result = await play_row(Stage(roots, folder, print), row)
    assert result.figures
    assert result.findings == [], result.relay_log
    assert [figure for figure in result.figures if not figure.holds and not figure.timed] == [], result.relay_log
