from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.faults.calls.rig.rig import Ports
from lab.faults.calls.rows.rows import RowResult
from lab.faults.calls.rows.soak import CALLS, SoakPorts, Tally, Usage, calls_of, soak, soak_figures
from rtppool_callgen.plan.caller_events import Ended, NotPlaced, Over, Placed
from rtppool_testing.ports import free_port, free_range

QUIET = {"ports": {"leased": 0, "quarantined": 0}, "calls": {"cut": 0}}
MINUTES = 0.3
SAME = Usage(10, 20)


def tally(calls: int = calls_of(MINUTES)) -> Tally:
    made = Tally()
    for number in range(calls):
        made.add(Placed(f"standin-{number}"))
        made.add(Ended(f"standin-{number}", "completed"))
    made.add(Over(0, 0))
    return made


def missed(tallied: Tally, after: Usage = SAME, status: Mapping[str, Any] = QUIET) -> list[str]:
    figures = soak_figures(MINUTES, tallied, {"relay 1": SAME}, {"relay 1": after}, status)
    return [figure.name for figure in figures if not figure.holds]


def test_a_whole_soak_has_as_many_calls_as_asked() -> None:
    assert CALLS <= calls_of(30) < CALLS + 500


def test_a_soak_holds_in_which_nothing_grows_and_every_call_completes() -> None:
    assert missed(tally()) == []


def test_a_soak_misses_by_memory_descriptors_and_processes() -> None:
    assert missed(tally(), after=Usage(10 + (2 << 20) + 1, 20)) == ["relay 1, private memory (MB)"]
    assert missed(tally(), after=Usage(10, 21)) == ["relay 1, descriptors"]
    replaced = soak_figures(MINUTES, tally(), {"relay 1": Usage(1, 1)}, {"relay 2": Usage(1, 1)}, QUIET)
    assert [figure.name for figure in replaced if not figure.holds] == ["processes that were replaced"]


def test_a_soak_misses_by_calls_and_ports() -> None:
    assert missed(tally(calls_of(MINUTES) - 1)) == ["calls placed"]
    failed = tally()
    failed.add(NotPlaced("refused"))
    assert missed(failed) == ["calls that ended"]
    left = tally()
    left.add(Over(1, 0))
    assert missed(left) == ["channels and bridges left behind"]
    set_aside = {"ports": {"leased": 1, "quarantined": 1}, "calls": {"cut": 1}}
    assert missed(tally(), status=set_aside) == ["calls cut by the relay", "ports still leased", "ports set aside"]
    assert len(missed(tally(), status={})) == 3


@pytest.mark.timeout(240)
async def test_a_short_soak_holds(tmp_path: Path) -> None:
    """Figures of a few calls: memory still grows in the first minute, so that bound is for the long run."""
    free = free_range(40)
    ports = SoakPorts(free_port(), free_port(), free_port(), Ports(free.start, free.end))
    result = RowResult("soak", "a short soak")
    await soak(tmp_path, MINUTES, ports, print, result)
    assert result.findings == []
    assert [figure for figure in result.figures if not figure.holds and "memory" not in figure.name] == []
