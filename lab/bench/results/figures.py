"""A measured figure: its rounds, its target and its verdict."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `values` has one value for each measured round; without values, `note` gives the reason.

    A target is an upper bound of the median, or, with `judged_by` "worst", of every round; with `at_least` it is a
    lower bound. A missed target with `breaks` fails the whole bench, such as lost packets.
    """

    name: str
    values: Sequence[float]
    unit: str = ""
    target: float | None = None
    judged_by: Literal["median", "worst"] = "median"
    breaks: bool = False
    note: str = ""
    at_least: bool = False

    @property
    def median(self) -> float | None:
        """The median round, None without values."""
        return statistics.median(self.values) if self._measured else None

    @property
    def low(self) -> float | None:
        """The lowest round, None without values."""
        return min(self.values) if self._measured else None

    @property
    def high(self) -> float | None:
        """The highest round, None without values."""
        return max(self.values) if self._measured else None

    @property
    def judged(self) -> float | None:
        """The value that the target bounds."""
        if self.judged_by == "median":
            return self.median
        return self.low if self.at_least else self.high

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target or a value."""
        if self.target is None or self.judged is None:
            return None
        return self.judged >= self.target if self.at_least else self.judged <= self.target

    @property
    def _measured(self) -> bool:
        return bool(self.values) and not any(math.isnan(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a measurement. `raw` goes into the JSON unchanged."""

    figures: Sequence[Figure]
    raw: dict[str, Any] = field(default_factory=dict)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the quotients round by round, so that changes between rounds affect both terms."""
    return [above / below if below else math.nan for above, below in zip(numerators, denominators, strict=True)]
