"""The figures that a measurement reads from the stream of a live page."""

from __future__ import annotations

from lab.bench.load.shown import Shown


def test_the_places_of_a_second_have_the_names_of_the_history() -> None:
    shown = Shown()
    shown.take("history", {"fields": {"second": ["answered", "lost", "p50"]}})
    shown.take("second", {"calls": [50, 2, None]})
    assert shown.second == {"answered": 50, "lost": 2, "p50": None}
    assert [shown.figure(name) for name in ("lost", "p50", "late_echo")] == [2, 0, 0]


def test_the_verdict_is_that_of_the_latest_state() -> None:
    shown = Shown()
    for result in ("Unknown", "Violated"):
        shown.take("state", {"sla": {"result": result}})
    assert shown.verdict == "Violated"
