"""A run's results as a table for people, as JSON, and in the page that holds them. Pure but for `write`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from operator_chaos.campaign import Outcome
from operator_chaos.errors import HarnessError
from operator_chaos.installation import ROOT
from operator_chaos.scale import Figure

OUTPUT = ROOT / "build/chaos"
PAGE = ROOT / "docs/scaling.md"
BEGIN, END = "<!-- begin: make chaos -->", "<!-- end: make chaos -->"


def table(figures: Sequence[Figure]) -> str:
    """Markdown: what, measured, bound, whether it holds."""
    rows = [
        f"| {each.name} | {' '.join(each.measured.split())} | {each.bound or '–'} | {_word(each.holds)} |"  # noqa: RUF001 a dash in print
        for each in figures
    ]
    return "\n".join(["| what | measured | bound | |", "| --- | --- | --- | --- |", *rows])


def campaign_figures(outcome: Outcome) -> list[Figure]:
    """A campaign as rows of the table."""
    first, quiet, *more = outcome.lines()
    return [
        Figure(f"{len(outcome.rounds)} faults by chance", first, "all converge, 0 stuck", not outcome.failed),
        Figure("quiet edits", quiet),
        *(Figure("faults", each) for each in more),
    ]


def document(machine: str, parts: Mapping[str, Sequence[Figure]]) -> str:
    """The page's generated part: machine and moment, then a table for each part."""
    tables = [f"**{title}**\n\n{table(figures)}" for title, figures in parts.items()]
    return "\n\n".join([machine, *tables])


def write(machine: str, parts: Mapping[str, Sequence[Figure]]) -> Path:
    """Keep table and JSON below build/."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    place = OUTPUT / "operator.md"
    place.write_text(document(machine, parts) + "\n")
    figures = {title: [asdict(each) for each in figures] for title, figures in parts.items()}
    (OUTPUT / "operator.json").write_text(json.dumps({"machine": machine, "parts": figures}, indent=1))
    return place


def with_measured(text: str, measured: str) -> str:
    """The page's text with another generated part.

    Raises:
        HarnessError: it has not the two marks, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise HarnessError(f"the page must have {BEGIN} and {END} once each, in this order")
    return f"{before}{BEGIN}\n\n{measured.strip()}\n\n{END}{after}"


def _word(holds: bool | None) -> str:
    return {True: "holds", False: "**missed**", None: ""}[holds]
