"""Intervals of time as two sorted columns of ns, begin and end, without overlaps among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Disjoint intervals in order."""

    begins: Int64s
    ends: Int64s

    @classmethod
    def of(cls, begins: Int64s, ends: Int64s) -> Self:
        """Return the union of intervals in any order."""
        order = np.argsort(begins, kind="stable")
        begins, ends = begins[order], np.maximum.accumulate(ends[order])
        opens = np.ones(begins.size, np.bool_)
        opens[1:] = begins[1:] > ends[:-1]
        closes = np.ones(begins.size, np.bool_)
        closes[:-1] = opens[1:]
        return cls(begins[opens], ends[closes])

    @property
    def total_ns(self) -> int:
        """The sum of all lengths."""
        return int((self.ends - self.begins).sum())

    def within(self, begin_ns: int, end_ns: int) -> Intervals:
        """Return the parts within a stretch of time."""
        begins, ends = np.maximum(self.begins, begin_ns), np.minimum(self.ends, end_ns)
        kept = begins < ends
        return Intervals(begins[kept], ends[kept])

    def longer(self, by_ns: int) -> Intervals:
        """Return the intervals with later ends."""
        return Intervals.of(self.begins, self.ends + by_ns)

    def overlap_ns(self, begins: Int64s, ends: Int64s) -> Int64s:
        """Return the part of each [begin, end] that lies in these intervals."""
        return self._covered_until(np.maximum(begins, ends)) - self._covered_until(begins)

    def _covered_until(self, times: Int64s) -> Int64s:
        if self.begins.size == 0:
            return np.zeros(times.size, np.int64)
        lengths = np.concatenate(([0], np.cumsum(self.ends - self.begins)))
        begun = np.searchsorted(self.begins, times, side="right")
        last = np.maximum(begun - 1, 0)
        inside = np.clip(times - self.begins[last], 0, self.ends[last] - self.begins[last])
        covered: Int64s = np.where(begun > 0, lengths[last] + inside, 0)
        return covered


NOTHING = Intervals(np.zeros(0, np.int64), np.zeros(0, np.int64))


def union(parts: Sequence[Intervals]) -> Intervals:
    """Return the time that lies in at least one of the parts."""
    if not parts:
        return NOTHING
    return Intervals.of(np.concatenate([each.begins for each in parts]), np.concatenate([each.ends for each in parts]))


def intersection(parts: Sequence[Intervals]) -> Intervals:
    """Return the time that lies in all parts; none without parts."""
    if not parts:
        return NOTHING
    common = parts[0]
    for other in parts[1:]:
        common = _common(common, other)
    return common


def _common(left: Intervals, right: Intervals) -> Intervals:
    begins = np.maximum(left.begins[:, None], right.begins[None, :])
    ends = np.minimum(left.ends[:, None], right.ends[None, :])
    meet = begins < ends
    return Intervals.of(begins[meet], ends[meet])
