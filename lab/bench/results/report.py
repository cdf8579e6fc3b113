"""The results of a bench: a Markdown table, the same as JSON, and the published page."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base.report import VERDICTS, machine_line, replace_part, table
from lab.bench.results.figures import Figure, Result
from rtppool_core.process.machine import Machine

PART = "make bench"
COLUMNS = ("figure", "median", "range", "target", "")
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one measurement under its title, or the reason of its failure.

    `marks` are sentences about rounds that the machine disturbed.
    """

    title: str
    result: Result | None
    failure: str | None = None
    marks: Sequence[str] = ()


def markdown(machine: Machine, method: str, parts: Sequence[Part]) -> str:
    """Return all figures with their targets."""
    return "\n\n".join([f"{machine_line(machine)} {method}", *map(_part, parts)]) + "\n"


def to_json(machine: Machine, method: str, parts: Mapping[str, Part]) -> str:
    """Return the same with every round and the raw notes of each measurement."""
    document = {
        "machine": dataclasses.asdict(machine),
        "method": method,
        "measurements": {
            name: {
                "title": part.title,
                "failure": part.failure,
                "marks": list(part.marks),
                "figures": [_figure(figure) for figure in part.result.figures] if part.result else [],
                "raw": part.result.raw if part.result else {},
            }
            for name, part in parts.items()
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def publish(page: Path, measured: str, picture: Path | None) -> None:
    """Put a run's table into the page, and its picture beside the page under the page's name.

    Raises:
        LabError: the page does not have the two marks.
    """
    if picture is not None:
        beside = page.with_suffix(".png")
        shutil.copyfile(picture, beside)
        measured = f"![Each figure as its share of the target]({beside.name})\n\n{measured}"
    page.write_text(replace_part(page.read_text(), PART, measured))


def missed(parts: Sequence[Part]) -> list[str]:
    """Return a line for each missed target and each failed measurement."""
    lines = [f"{part.title}: {part.failure}" for part in parts if part.failure]
    figures = [figure for part in parts if part.result for figure in part.result.figures]
    lines += [
        f"{figure.name}: {_value(figure.judged)} {figure.unit}".rstrip()
        for figure in figures
        if figure.reached is False
    ]
    return lines


def is_broken(parts: Sequence[Part]) -> bool:
    """Whether an event occurred that must not occur on any machine."""
    figures = [figure for part in parts if part.result for figure in part.result.figures]
    return any(part.failure for part in parts) or any(figure.breaks and figure.reached is False for figure in figures)


def _part(part: Part) -> str:
    if part.result is None:
        return f"### {part.title}\n\nFailed: {part.failure}"
    paragraphs = [f"### {part.title}", table(COLUMNS, "lrrrl", map(_cells, part.result.figures))]
    if part.marks:
        paragraphs.append("\n".join(f"- Marked: {mark}." for mark in part.marks))
    return "\n\n".join(paragraphs)


def _cells(figure: Figure) -> tuple[str, ...]:
    sign = "≥" if figure.at_least else "≤"
    target = "" if figure.target is None else f"{sign} {_value(figure.target)}" if figure.target else "0"
    name = f"{figure.name}, {figure.unit}" if figure.unit else figure.name
    if figure.median is None:
        return name, "", "", target, figure.note or NOT_MEASURED
    verdict = VERDICTS[figure.reached]
    spread = f"{_value(figure.low)} to {_value(figure.high)}" if len(figure.values) > 1 else ""
    return name, _value(figure.median), spread, target, "; ".join(filter(None, (verdict, figure.note)))


def _figure(figure: Figure) -> dict[str, object]:
    # A quotient without a denominator is NaN, which JSON does not have.
    values = [value if value == value else None for value in figure.values]  # noqa: PLR0124 only NaN differs from itself
    return {**dataclasses.asdict(figure), "values": values, "median": figure.median, "reached": figure.reached}


def _value(value: float | None) -> str:
    """Format with three significant digits; whole numbers stay whole."""
    if value is None:
        return ""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
