"""The table, for a person as Markdown and for programs as JSON. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.bench.results.figures import Figure, Result
from rtppool_core.process.machine import Machine

TABLE_HEAD = "| figure | median | range | target | |\n| --- | --: | --: | --: | --- |"
REACHED, MISSED, NOT_MEASURED = "reached", "**missed**", "not measured"


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement's results under its title. `failure` is why it brought none."""

    title: str
    result: Result | None
    failure: str | None = None


def markdown(machine: Machine, method: str, parts: Sequence[Part]) -> str:
    """All figures with their targets."""
    head = (
        f"{machine.processor}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}; "
        f"{machine.began}, load at the beginning {machine.load:g}. {method}"
    )
    return "\n\n".join([head, *map(_part, parts)]) + "\n"


def to_json(machine: Machine, method: str, parts: Mapping[str, Part]) -> str:
    """The same with every round, and what else was noted."""
    document = {
        "machine": dataclasses.asdict(machine),
        "method": method,
        "measurements": {
            name: {
                "title": part.title,
                "failure": part.failure,
                "figures": [_figure(figure) for figure in part.result.figures] if part.result else [],
                "raw": part.result.raw if part.result else {},
            }
            for name, part in parts.items()
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def missed(parts: Sequence[Part]) -> list[str]:
    """Targets that were not reached, and measurements that failed, a line for each."""
    lines = [f"{part.title}: {part.failure}" for part in parts if part.failure]
    figures = [figure for part in parts if part.result for figure in part.result.figures]
    lines += [
        f"{figure.name}: {_value(figure.judged)} {figure.unit}".rstrip()
        for figure in figures
        if figure.reached is False
    ]
    return lines


def is_broken(parts: Sequence[Part]) -> bool:
    """Whether something happened that may not happen on any machine."""
    figures = [figure for part in parts if part.result for figure in part.result.figures]
    return any(part.failure for part in parts) or any(figure.breaks and figure.reached is False for figure in figures)


def _part(part: Part) -> str:
    if part.result is None:
        return f"### {part.title}\n\nFailed: {part.failure}"
    return "\n".join([f"### {part.title}\n", TABLE_HEAD, *map(_row, part.result.figures)])


def _row(figure: Figure) -> str:
    target = "" if figure.target is None else f"≤ {_value(figure.target)}" if figure.target else "0"
    name = f"{figure.name}, {figure.unit}" if figure.unit else figure.name
    if figure.median is None:
        return f"| {name} | | | {target} | {figure.note or NOT_MEASURED} |"
    verdict = {True: REACHED, False: MISSED, None: ""}[figure.reached]
    spread = f"{_value(figure.low)} to {_value(figure.high)}" if len(figure.values) > 1 else ""
    words = "; ".join(word for word in (verdict, figure.note) if word)
    return f"| {name} | {_value(figure.median)} | {spread} | {target} | {words} |"


def _figure(figure: Figure) -> dict[str, object]:
    # A quotient without a denominator is NaN, which JSON has not.
    values = [value if value == value else None for value in figure.values]  # noqa: PLR0124 only NaN differs from itself
    return {**dataclasses.asdict(figure), "values": values, "median": figure.median, "reached": figure.reached}


def _value(value: float | None) -> str:
    """Three significant digits; whole numbers as they are."""
    if value is None:
        return ""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
