"""The results of an operator run: figures of a campaign, tables and JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lab.base.places import REPOSITORY
from lab.base.report import Figure, figure_table
from lab.faults.operator.runs.campaign import Outcome
from lab.faults.operator.runs.stage import BOUND_SECONDS

OUTPUT = REPOSITORY / "build/chaos"
PAGE = REPOSITORY / "docs/scaling.md"
SHARED_CORES = "API server, etcd, relays and operator share the cores."


def campaign_figures(outcome: Outcome) -> list[Figure]:
    """Return the figures of a campaign."""
    first, quiet, *more = outcome.lines()
    return [
        Figure(f"{len(outcome.rounds)} random faults", first, "all converge, 0 stuck", not outcome.failed),
        *_worst(outcome),
        Figure(
            "configurations with an older generation than an earlier one",
            *(str(outcome.older_configurations), "0", outcome.older_configurations == 0),
        ),
        Figure("quiet edits", quiet),
        *(Figure("faults", each) for each in more),
        *(Figure(f"after «{fault}»", _times(times)) for fault, times in sorted(_by_fault(outcome).items())),
    ]


def document(machine: str, parts: Mapping[str, Sequence[Figure]]) -> str:
    """Return the line of the machine and one table for each part."""
    tables = [f"**{title}**\n\n{figure_table(figures)}" for title, figures in parts.items()]
    return "\n\n".join([machine, *tables])


def write(machine: str, parts: Mapping[str, Sequence[Figure]]) -> Path:
    """Write the tables and their JSON below `build/`; return the path of the tables."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    place = OUTPUT / "operator.md"
    place.write_text(document(machine, parts) + "\n")
    figures = {title: [asdict(each) for each in figures] for title, figures in parts.items()}
    (OUTPUT / "operator.json").write_text(json.dumps({"machine": machine, "parts": figures}, indent=1))
    return place


def _worst(outcome: Outcome) -> list[Figure]:
    """Return the longest time to convergence for each bound."""
    figures = []
    for bound in sorted({each.bound_seconds for each in outcome.rounds}):
        rounds = [each for each in outcome.rounds if each.bound_seconds == bound]
        converged = [(each.seconds, each.fault) for each in rounds if each.seconds is not None]
        seconds, fault = max(converged, default=(math.inf, "not converged"))
        which = "apart from silent watches" if bound == BOUND_SECONDS else "silent watches"
        name, measured = f"longest time to convergence, {which}", f"{seconds:.1f} s ({fault})"
        holds = len(converged) == len(rounds) and seconds <= bound
        figures.append(Figure(name, measured, f"{bound:g} s", holds))
    return figures


def _by_fault(outcome: Outcome) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in outcome.rounds:
        if each.seconds is not None:
            found.setdefault(each.fault, []).append(each.seconds)
    return found


def _times(seconds: Sequence[float]) -> str:
    return f"{len(seconds)} times, median {statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s"
