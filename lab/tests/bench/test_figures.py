from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bench.load.load import quantile
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.results.report import Part, is_broken, markdown, missed
from rtppool_core.process.machine import Machine

MACHINE = Machine("a processor", 2, "6.1", "3.11.7", 0.1, "2026-01-01T00:00:00+00:00")


def part(*figures: Figure) -> Part:
    return Part("a part", Result(figures))


def test_a_target_is_held_against_the_median() -> None:
    assert Figure("f", [1.0, 1.2, 9.0], target=1.2).reached is True
    assert Figure("f", [1.0, 1.3, 1.4], target=1.2).reached is False


def test_a_worst_case_is_held_against_every_round() -> None:
    assert Figure("f", [0, 0, 1], target=0, judged_by="worst").reached is False
    assert Figure("f", [0, 0, 0], target=0, judged_by="worst").reached is True


def test_a_lower_bound_is_reached_from_above() -> None:
    assert Figure("f", [0.8, 0.9, 1.0], target=0.9, at_least=True).reached is True
    assert Figure("f", [0.8, 0.8, 1.0], target=0.9, at_least=True).reached is False
    assert Figure("f", [0.8, 0.9, 1.0], target=0.9, at_least=True, judged_by="worst").reached is False
    lines = markdown(MACHINE, "", [part(Figure("f", [0.8, 1, 1], target=0.9, at_least=True))]).splitlines()
    assert "| f | 1 | 0.8 to 1 | ≥ 0.9 | holds |" in lines


def test_a_round_that_the_machine_disturbed_is_marked_below_the_table() -> None:
    marked = Part("a part", Result([Figure("f", [1.0])]), marks=["round 1 of 5 has 2.0 % steal"])
    assert (
        markdown(MACHINE, "", [marked]).rstrip().endswith("| f | 1 | | | |\n\n- Marked: round 1 of 5 has 2.0 % steal.")
    )


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.nan]])
def test_what_was_not_measured_has_no_median_and_is_neither_reached_nor_missed(values: list[float]) -> None:
    figure = Figure("f", values, target=1.0)
    assert (figure.median, figure.reached) == (None, None)


def test_a_ratio_is_made_round_by_round_and_not_against_nothing() -> None:
    found = ratios([2.0, 9.0, 1.0], [1.0, 3.0, 0.0])
    assert found[:2] == [2.0, 3.0]
    assert math.isnan(found[2])


def test_a_missed_target_is_said_but_only_what_may_never_happen_breaks_the_bench() -> None:
    slow = part(Figure("cost", [2.0], "µs", target=1.0))
    lossy = part(Figure("lost", [1], target=0, judged_by="worst", breaks=True))
    assert missed([slow]) == ["cost: 2 µs"]
    assert not is_broken([slow])
    assert is_broken([slow, lossy])


def test_a_measurement_that_failed_breaks_the_bench_and_says_why() -> None:
    failed = Part("a part", None, "no such port")
    assert is_broken([failed])
    assert missed([failed]) == ["a part: no such port"]
    assert "Failed: no such port" in markdown(MACHINE, "", [failed])


def test_the_table_says_for_each_figure_whether_its_target_was_reached() -> None:
    figures = (
        Figure("cost", [2.0, 3.0, 4.0], "µs", target=1.0),
        Figure("other", [], target=1.0, note="not installed"),
        Figure("lost", [0], "packets", 0, "worst"),
    )
    lines = markdown(MACHINE, "", [part(*figures)]).splitlines()
    assert "| cost, µs | 3 | 2 to 4 | ≤ 1 | **missed** |" in lines
    assert "| other | | | ≤ 1 | not installed |" in lines
    assert "| lost, packets | 0 | | 0 | holds |" in lines


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.integers(1, 1000))
def test_a_quantile_is_the_smallest_value_that_enough_values_do_not_exceed(values: list[int], per_mille: int) -> None:
    found = quantile(np.sort(np.array(values, np.int64)), per_mille)
    enough = [value for value in values if sum(other <= value for other in values) * 1000 >= per_mille * len(values)]
    assert found == min(enough)
