"""The results of a fault run: findings, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from lab.base.report import VERDICTS, table
from lab.faults.calls.rounds.faults import Fault
from lab.faults.calls.rounds.rounds import RoundResult
from lab.faults.calls.rows.rows import RowResult

PART = "make chaos"
FAULT_COLUMNS = (
    "fault", "rounds", "calls held", "survived", "cut", "recovered, median (s)", "recovered, longest (s)",
    "orphans, leaks, unaccounted", "waiting for a processor, highest (%)", "verdict",
)  # fmt: skip


def fault_table(results: Mapping[Fault, Sequence[RoundResult]]) -> str:
    """Return a row for each fault; Markdown."""
    return table(FAULT_COLUMNS, "lrrrrrrrrl", [_cells(fault, rounds) for fault, rounds in results.items()])


def row_table(rows: Sequence[RowResult]) -> str:
    """Return a line for each figure of each row; Markdown."""
    lines = [
        (row.title, each.name, each.measured, each.bound, VERDICTS[each.holds]) for row in rows for each in row.figures
    ]
    return table(("run", "figure", "measured", "bound", ""), "llrrl", lines)


def findings(results: Mapping[Fault, Sequence[RoundResult]], rows: Sequence[RowResult]) -> list[str]:
    """Return every finding with its fault and round, or its row."""
    of_faults = [
        f"{each.fault}, round {each.number}: {finding}"
        for rounds in results.values()
        for each in rounds
        for finding in each.findings
    ]
    return [*of_faults, *(f"{row.name}: {finding}" for row in rows for finding in row.broken())]


def to_json(results: Mapping[Fault, Sequence[RoundResult]], rows: Sequence[RowResult], about: Mapping[str, Any]) -> str:
    """Return all rounds, rows and findings as JSON."""
    document = {
        **about,
        "rounds": [asdict(each) for each_fault in results.values() for each in each_fault],
        "rows": [asdict(row) for row in rows],
        "findings": findings(results, rows),
    }
    return json.dumps(document, indent=1) + "\n"


def _cells(fault: Fault, rounds: Sequence[RoundResult]) -> tuple[object, ...]:
    times = [each.recovered_after_seconds for each in rounds if each.recovered_after_seconds is not None]
    waiting = [each.load.waiting_percent for each in rounds if each.load is not None]
    broken = sum(bool(each.findings) for each in rounds)
    return (
        fault.title,
        len(rounds),
        sum(each.calls for each in rounds),
        sum(each.survived for each in rounds),
        sum(each.cut for each in rounds),
        f"{median(times):.2f}" if times else "never",
        f"{max(times):.2f}" if len(times) == len(rounds) and times else "never",
        sum(len(each.findings) for each in rounds),
        max(waiting, default="not measured"),
        f"{broken} rounds broken" if broken else VERDICTS[True],
    )
