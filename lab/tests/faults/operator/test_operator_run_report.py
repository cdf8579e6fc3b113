from __future__ import annotations

import pytest

from lab.faults.operator.errors import HarnessError
from lab.faults.operator.report import BEGIN, END, campaign_figures, document, table, with_measured
from lab.faults.operator.runs.campaign import Outcome, Round
from lab.faults.operator.runs.scale import Figure

FIRST, LAST = BEGIN.format("scale"), END.format("scale")


def test_a_missed_bound_stands_out() -> None:
    rows = table([Figure("a", "1", "2", holds=True), Figure("b", "3", "2", holds=False), Figure("c", "4")]).splitlines()
    assert rows[2:] == ["| a | 1 | 2 | holds |", "| b | 3 | 2 | **missed** |", "| c | 4 | – |  |"]  # noqa: RUF001 a dash


def test_a_campaign_holds_when_every_round_converged_and_names_those_that_did_not() -> None:
    good = Outcome(7, [1.0, 2.0], [Round("operator killed", 3.0)])
    assert campaign_figures(good)[0].holds is True
    bad = Outcome(7, [1.0], [Round("operator killed", 3.0), Round("API server killed", None, "no pools.json")])
    figures = campaign_figures(bad)
    assert figures[0].holds is False
    assert any("API server killed" in each.measured and "no pools.json" in each.measured for each in figures)


def test_a_page_keeps_what_stands_around_its_marks() -> None:
    other = f"{BEGIN.format('idle')}\nkept\n{END.format('idle')}"
    page = f"before\n{FIRST}\nold\n{LAST}\n{other}\n"
    assert with_measured(page, "scale", "new") == f"before\n{FIRST}\n\nnew\n\n{LAST}\n{other}\n"


@pytest.mark.parametrize("page", ["", FIRST, f"{LAST}{FIRST}", f"{FIRST}{FIRST}{LAST}"])
def test_a_page_without_its_two_marks_is_refused(page: str) -> None:
    with pytest.raises(HarnessError, match="once each"):
        with_measured(page, "scale", "new")


def test_a_document_tells_the_machine_and_every_part() -> None:
    text = document("2 cores", {"An idle pool": [Figure("writes", "0", "0", holds=True)]})
    assert text.splitlines()[0] == "2 cores"
    assert "**An idle pool**" in text
