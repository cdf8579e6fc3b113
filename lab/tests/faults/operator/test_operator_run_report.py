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


def test_the_longest_time_is_judged_by_its_own_bound_for_silent_watches() -> None:
    quick, silent = Round("operator killed", 19.9), Round("watches black-holed", 75.0, bound_seconds=90.0)
    figures = campaign_figures(Outcome(7, [1.0], [quick, Round("API server killed", 3.0), silent]))
    assert [(each.measured, each.bound, each.holds) for each in figures[1:3]] == [
        ("19.9 s (operator killed)", "20 s", True),
        ("75.0 s (watches black-holed)", "90 s", True),
    ]
    late = campaign_figures(Outcome(7, [1.0], [Round("operator killed", 20.1), silent]))
    assert [each.holds for each in late[1:3]] == [False, True]
    stuck = campaign_figures(Outcome(7, [1.0], [Round("operator killed", None, "no pools.json")]))
    assert stuck[1].holds is False


def test_a_configuration_older_than_one_before_it_breaks_a_rule() -> None:
    figures = campaign_figures(Outcome(7, [1.0], [Round("operator killed", 3.0)], older_configurations=1))
    assert [each.measured for each in figures if each.holds is False] == ["1"]


def test_a_document_tells_the_machine_and_every_part() -> None:
    text = document("2 cores", {"An idle pool": [Figure("writes", "0", "0", holds=True)]})
    assert text.splitlines()[0] == "2 cores"
    assert "**An idle pool**" in text
