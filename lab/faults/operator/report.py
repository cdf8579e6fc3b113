"""A run's results as a table for people, as JSON, and in the page that holds them. Pure but for `write`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lab.faults.operator.api.installation import ROOT
from lab.faults.operator.errors import HarnessError
from lab.faults.operator.runs.campaign import Outcome
from lab.faults.operator.runs.scale import Figure

OUTPUT = ROOT / "build/chaos"
PAGE = ROOT / "docs/scaling.md"
BEGIN, END = "<!-- begin: operator {} -->", "<!-- end: operator {} -->"


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
        *(Figure(f"after «{fault}»", _times(times)) for fault, times in sorted(_by_fault(outcome).items())),
    ]


def _by_fault(outcome: Outcome) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in outcome.rounds:
        if each.seconds is not None:
            found.setdefault(each.fault, []).append(each.seconds)
    return found


def _times(seconds: Sequence[float]) -> str:
    return f"{len(seconds)} times, median {statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s"


def document(machine: str, parts: Mapping[str, Sequence[Figure]]) -> str:
    """Machine and moment, then a table for each part."""
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


def with_measured(text: str, part: str, measured: str) -> str:
    """The page's text with another measured part, `campaign`, `scale` or `idle`.

    Raises:
        HarnessError: it has not the two marks, once each and in order.
    """
    first, last = BEGIN.format(part), END.format(part)
    before, begin, rest = text.partition(first)
    _old, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in after:
        raise HarnessError(f"the page must have {first} and {last} once each, in this order")
    return f"{before}{first}\n\n{measured.strip()}\n\n{last}{after}"


def _word(holds: bool | None) -> str:
    return {True: "holds", False: "**missed**", None: ""}[holds]
