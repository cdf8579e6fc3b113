"""A figure with its rounds, its target, and whether it was reached. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `values` has one for each round that counts; empty: it was not measured, `note` says why.

    A target is a highest value. It is held against the median of the rounds; `judged_by` "worst": against every one.
    `breaks` marks what fails the whole bench when it is missed: packets lost where none may be.
    """

    name: str
    values: Sequence[float]
    unit: str = ""
    target: float | None = None
    judged_by: Literal["median", "worst"] = "median"
    breaks: bool = False
    note: str = ""

    @property
    def median(self) -> float | None:
        """None when nothing was measured."""
        return statistics.median(self.values) if self._measured else None

    @property
    def low(self) -> float | None:
        """The lowest round."""
        return min(self.values) if self._measured else None

    @property
    def high(self) -> float | None:
        """The highest round."""
        return max(self.values) if self._measured else None

    @property
    def judged(self) -> float | None:
        """What the target is held against."""
        return self.high if self.judged_by == "worst" else self.median

    @property
    def reached(self) -> bool | None:
        """None without a target or without a value."""
        if self.target is None or self.judged is None:
            return None
        return self.judged <= self.target

    @property
    def _measured(self) -> bool:
        return bool(self.values) and not any(math.isnan(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Result:
    """What a measurement brought. `raw` is kept in the JSON as it is."""

    figures: Sequence[Figure]
    raw: dict[str, Any] = field(default_factory=dict)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Round by round: what changed between rounds changed for both."""
    return [above / below if below else math.nan for above, below in zip(numerators, denominators, strict=True)]
