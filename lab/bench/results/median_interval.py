"""The interval that holds the median of a population with a given confidence, from a sample and without assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the narrowest pair of order statistics that is symmetric and has at least this confidence.

    Each value is above the median with probability one half, so their number is binomial. None: too few values.
    """
    ordered, count = sorted(values), len(values)
    outside, found = 0.0, None
    for rank in range(count // 2):
        outside += 2 * comb(count, rank) / 2**count
        if 1 - outside < confidence:
            break
        found = ordered[rank], ordered[count - 1 - rank]
    return found
