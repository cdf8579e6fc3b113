"""Intervals of time: sorted, disjoint, and half-open, in ns of one clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def united(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union of intervals in any order; empty and reversed ones vanish."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def intersection(some: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    """Return the time that lies in both of two sorted, disjoint lists."""
    common: list[Interval] = []
    at, beside = 0, 0
    while at < len(some) and beside < len(others):
        start = max(some[at][0], others[beside][0])
        end = min(some[at][1], others[beside][1])
        if start < end:
            common.append((start, end))
        if some[at][1] < others[beside][1]:
            at += 1
        else:
            beside += 1
    return common


def overlap_ns(intervals: Iterable[Interval], start_ns: int, end_ns: int) -> int:
    """Return how much of a span lies in disjoint intervals."""
    return sum(max(0, min(end, end_ns) - max(start, start_ns)) for start, end in intervals)
