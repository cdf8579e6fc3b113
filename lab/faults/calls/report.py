"""What a run brought, as a table for people and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from lab.faults.calls.rounds.faults import Fault
from lab.faults.calls.rounds.rounds import RoundResult
from lab.faults.calls.rows.rows import RowResult

BEGIN, END = "<!-- begin: make chaos -->", "<!-- end: make chaos -->"
HEADER = (
    "| fault | rounds | calls held | went on | cut | whole again, median (s) | whole again, longest (s) | "
    "orphans, leaks, unaccounted | verdict |\n| --- | --: | --: | --: | --: | --: | --: | --: | --- |"
)


def table(results: Mapping[Fault, Sequence[RoundResult]]) -> str:
    """A row for each fault; Markdown."""
    return "\n".join([HEADER, *(_row(fault, rounds) for fault, rounds in results.items())])


def row_table(rows: Sequence[RowResult]) -> str:
    """A line for each figure of each row; Markdown."""
    lines = [
        f"| {row.title} | {each.what} | {each.measured} | {each.asked} | {'held' if each.held else 'NOT held'} |"
        for row in rows
        for each in row.figures
    ]
    return "\n".join(["| run | figure | measured | asked | |", "| --- | --- | --: | --: | --- |", *lines])


def findings(results: Mapping[Fault, Sequence[RoundResult]], rows: Sequence[RowResult]) -> list[str]:
    """Everything that did not hold, with its fault and round, or its row."""
    of_faults = [
        f"{each.fault}, round {each.number}: {finding}"
        for rounds in results.values()
        for each in rounds
        for finding in each.findings
    ]
    return [*of_faults, *(f"{row.name}: {finding}" for row in rows for finding in row.broken())]


def to_json(results: Mapping[Fault, Sequence[RoundResult]], rows: Sequence[RowResult], about: Mapping[str, Any]) -> str:
    """All of it."""
    document = {
        **about,
        "rounds": [asdict(each) for each_fault in results.values() for each in each_fault],
        "rows": [asdict(row) for row in rows],
        "findings": findings(results, rows),
    }
    return json.dumps(document, indent=1) + "\n"


def published(page: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """A page's text with these tables between its markers.

    Raises:
        ValueError: it has no such place.
    """
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page has no place for the tables: {begin} … {end}")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def _row(fault: Fault, rounds: Sequence[RoundResult]) -> str:
    times = [each.whole_after_seconds for each in rounds if each.whole_after_seconds is not None]
    found = sum(len(each.findings) for each in rounds)
    broken = sum(bool(each.findings) for each in rounds)
    cells = (
        fault.title,
        len(rounds),
        sum(each.calls for each in rounds),
        sum(each.survived for each in rounds),
        sum(each.cut for each in rounds),
        f"{median(times):.2f}" if times else "never",
        f"{max(times):.2f}" if len(times) == len(rounds) and times else "never",
        found,
        "held" if not broken else f"{broken} rounds broken",
    )
    return "| " + " | ".join(map(str, cells)) + " |"
