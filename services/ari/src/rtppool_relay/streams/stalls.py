"""Stalls of processors as columns: how much of each packet's stages lies in them.

A busy machine has hundreds of stalls a second, and most collections have a late packet at most in their last second. So
a collection gets a source of stalls, and asks it for those since the begin of its earliest late packet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtppool_core.host.intervals import Interval, intersection, united

Int64s = NDArray[np.int64]


class StallSource(Protocol):
    """The stalls that are known by now."""

    @property
    def watching(self) -> bool:
        """Whether any processor is watched."""

    def since(self, begin_ns: int) -> Stalls:
        """Return at least the stalls that ended after a time."""


class Stalls:
    """Time in which processors stood still, in ns of one clock. Immutable.

    `stalls` has an entry for each watched processor, also where it did not stall. `waits` are the times in which a
    media process waited for a processor, by the processor that it then got. `unseen` are times right before stalls,
    in which nobody saw whether a processor stood still already.
    """

    def __init__(
        self,
        stalls: Mapping[int, Sequence[Interval]] | None = None,
        waits: Mapping[int, Sequence[Interval]] | None = None,
        unseen: Mapping[int, Sequence[Interval]] | None = None,
    ) -> None:
        self._intervals = stalls or {}, waits or {}, unseen or {}
        by_processor = {processor: united(intervals) for processor, intervals in (stalls or {}).items()}
        of_waits = {processor: united(intervals) for processor, intervals in (waits or {}).items()}
        common = reduce(intersection, by_processor.values()) if by_processor else []
        self._common = _Track(common)
        self._stalls = {processor: _Track(intervals) for processor, intervals in by_processor.items()}
        self._stalls_and_waits = self._stalls | {
            processor: _Track(united((*by_processor.get(processor, common), *waited)))
            for processor, waited in of_waits.items()
        }

    @property
    def watching(self) -> bool:
        """Whether any processor is watched."""
        return bool(self._stalls_and_waits)

    def since(self, _begin_ns: int) -> Stalls:
        """Return all stalls: they are there already."""
        return self

    @cached_property
    def at_most(self) -> Stalls:
        """The same stalls, as if each had begun with the unseen time before it."""
        stalls, waits, unseen = self._intervals
        return Stalls({each: [*seen, *unseen.get(each, ())] for each, seen in stalls.items()}, waits)

    def overlap_ns(self, starts: Int64s, ends: Int64s, processors: Int64s) -> Int64s:
        """Return how much of each span lies in stalls of its processor.

        For a processor that is unknown or not watched, only time counts in which all watched processors stood still.
        """
        return self._overlap(self._stalls, starts, ends, processors)

    def overlap_with_waits_ns(self, starts: Int64s, ends: Int64s, processors: Int64s) -> Int64s:
        """Return the same for stages of the media process: stalls of its processor, and its own waits there."""
        return self._overlap(self._stalls_and_waits, starts, ends, processors)

    def _overlap(self, tracks: Mapping[int, _Track], starts: Int64s, ends: Int64s, processors: Int64s) -> Int64s:
        inside = self._common.overlap_ns(starts, ends)
        for processor, track in tracks.items():
            at = np.flatnonzero(processors == processor)
            inside[at] = track.overlap_ns(starts[at], ends[at])
        return inside


class _Track:
    """Disjoint intervals, with the time inside them up to each start."""

    __slots__ = ("_before", "_lengths", "_starts")

    def __init__(self, intervals: Sequence[Interval]) -> None:
        bounds: Int64s = np.array(intervals, np.int64).reshape(-1, 2)
        self._starts = bounds[:, 0]
        self._lengths = bounds[:, 1] - bounds[:, 0]
        self._before = np.cumsum(self._lengths) - self._lengths

    def overlap_ns(self, starts: Int64s, ends: Int64s) -> Int64s:
        """Return how much of each span lies inside; 0 for a span that ends before its start."""
        if self._starts.size == 0 or starts.size == 0:
            return np.zeros(starts.size, np.int64)
        inside: Int64s = np.maximum(self._inside_until(ends) - self._inside_until(starts), 0)
        return inside

    def _inside_until(self, times: Int64s) -> Int64s:
        latest = np.searchsorted(self._starts, times, side="right") - 1
        at = np.maximum(latest, 0)
        inside: Int64s = self._before[at] + np.clip(times - self._starts[at], 0, self._lengths[at])
        return inside


NO_STALLS = Stalls()
