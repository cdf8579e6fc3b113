"""The figures of the scale run: bounds of edits, and phases that the simulation has disturbed."""

from __future__ import annotations

import pytest

from lab.base.report import Figure
from lab.faults.operator.runs.meter import Meter
from lab.faults.operator.runs.sizes import LARGE, USUAL, EditBounds
from lab.faults.operator.runs.timed_edits import TimedEdit, edit_figures

EDITS = [TimedEdit(0.05, 0.1, 0.4), TimedEdit(0.05, 0.1, 0.4), TimedEdit(0.5, 2.0, 3.0)]


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        (EditBounds(), [None, None, None]),
        (EditBounds(0.1, 0.1, 0.5), [True, True, True]),
        (EditBounds(0.01, 0.1, 0.3), [False, True, False]),
        (EditBounds(0.1, 0.1, 0.5, worst_published=1.0), [True, False, True]),
    ],
)
def test_edits_hold_by_their_median_and_where_asked_by_their_worst(
    bounds: EditBounds, holds: list[bool | None]
) -> None:
    figures = edit_figures("edit", EDITS, bounds)
    assert [each.holds for each in figures] == holds
    assert figures[2].measured == "median 0.40 s, worst 3.00 s of 3"


@pytest.mark.parametrize(("used_seconds", "holds"), [(60.0, False), (70.0, None)])
def test_figures_of_a_disturbed_phase_have_no_judgement(used_seconds: float, holds: bool | None) -> None:
    used, clock = iter([0.0, 0.0, 0.0, used_seconds]), iter([0.0, 100.0])
    meter = Meter(1, 2, lambda: next(clock), lambda _pid: next(used))
    with meter.running():
        pass
    missed, plain, share = meter.judged("quiet", [Figure("a", "2", "1", holds=False), Figure("b", "2")])
    assert (missed.holds, plain.holds, share.holds) == (holds, None, None)
    assert ("not judged" in missed.bound) is (holds is None)
    assert (share.measured, "exceeded" in share.bound) == (f"{used_seconds:.0f}%", holds is None)


def test_both_sizes_have_small_pools_and_a_large_one() -> None:
    for size in (USUAL, LARGE):
        assert 0 < 2 * (size.pools - 1) < size.relays
        assert size.moving <= size.relays
