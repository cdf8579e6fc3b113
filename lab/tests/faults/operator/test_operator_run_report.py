from __future__ import annotations

from lab.base.report import Figure
from lab.faults.operator.report import campaign_figures, document
from lab.faults.operator.runs.campaign import Outcome, Round


def test_a_campaign_holds_when_every_round_converged_and_names_those_that_did_not() -> None:
    good = Outcome(7, [1.0, 2.0], [Round("operator killed", 3.0)])
    assert campaign_figures(good)[0].holds is True
    bad = Outcome(7, [1.0], [Round("operator killed", 3.0), Round("API server killed", None, "no pools.json")])
    figures = campaign_figures(bad)
    assert figures[0].holds is False
    assert any("API server killed" in each.measured and "no pools.json" in each.measured for each in figures)


def test_a_document_tells_the_machine_and_every_part() -> None:
    text = document("2 cores", {"An idle pool": [Figure("writes", "0", "0", holds=True)]})
    assert text.splitlines()[0] == "2 cores"
    assert "**An idle pool**" in text
