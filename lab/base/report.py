"""Figures with their bounds, as Markdown tables and in the pages that publish them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.base.errors import LabError
from rtppool_core.process.machine import Machine

VERDICTS = {True: "holds", False: "**missed**", None: ""}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure beside its bound, both as text.

    `holds` is None without a bound. A busy machine can miss the bound of a `timed` figure.
    """

    name: str
    measured: str
    bound: str = ""
    holds: bool | None = None
    timed: bool = False


def table(columns: Sequence[str], alignment: str, rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table. `alignment` has one letter a column: `l` or `r`."""
    rule = ["--:" if letter == "r" else "---" for letter in alignment]
    return "\n".join(_row(cells) for cells in (columns, rule, *rows))


def figure_table(figures: Iterable[Figure]) -> str:
    """Return figures as a Markdown table."""
    rows = [
        (each.name, " ".join(each.measured.split()), each.bound or "–", VERDICTS[each.holds])  # noqa: RUF001 a dash
        for each in figures
    ]
    return table(("figure", "measured", "bound", ""), "llll", rows)


def machine_line(machine: Machine) -> str:
    """Describe the machine and the moment of a run in one line."""
    return (
        f"{machine.processor}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}; "
        f"{machine.began}, load at the beginning {machine.load:g}."
    )


def marks(part: str) -> tuple[str, str]:
    """Return the two marks that enclose a published part of a page."""
    return f"<!-- begin: {part} -->", f"<!-- end: {part} -->"


def replace_part(page: str, part: str, text: str) -> str:
    """Return a page with another text between the marks of `part`.

    Raises:
        LabError: the page does not have the two marks, once each and in order.
    """
    first, last = marks(part)
    before, begin, rest = page.partition(first)
    _old, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in after:
        raise LabError(f"the page must have {first} and {last} once each, in this order")
    return f"{before}{first}\n\n{text.strip()}\n\n{last}{after}"


def _row(cells: Sequence[object]) -> str:
    return "".join(f"| {cell} " if str(cell) else "| " for cell in cells) + "|"
