"""The figures of each call as a whole, as columns: a row for each slot, and one numpy call for all calls.

Each second adds to all calls, and a call is seldom read. Figures of rare events are not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rtppool_core.contract.figures import TIMES
from rtppool_core.statistics.histogram import BUCKETS, Histogram
from rtppool_relay.streams.histories import in_pages
from rtppool_relay.streams.slices import JitterName, Slice

# Names of `Slice`: whole numbers, sums, and maxima.
COUNTED = (
    *("packets", "answered", "late_source", "late_relay", "late_echo", "late_host", "witnessed"),
    *("late_judged", "late_judged_with_host", "echo_host_reported", "echo_host_unreported"),
    *("jitter_count", "source_jitter_count", "skew_count", "skew_clamped"),
    *("g711_packets", "g711_ns", "other_codec_packets"),
)
SUMMED = ("jitter_sum_us", "source_jitter_sum_us", "skew_sum_ppm")
MAXIMA = ("max_jitter_us", "max_source_jitter_us")
_COUNT_AT = {name: at for at, name in enumerate(COUNTED)}
_SUM_AT = {name: at for at, name in enumerate(SUMMED)}
_MAXIMUM_AT = {name: at for at, name in enumerate(MAXIMA)}
# Of the round trips that wait for the live page, which takes them every second.
MAX_LATEST_BATCHES = 32
NEVER_NS = -1

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]


class CallTotals:
    """The totals of all slots of one memory. In each call, `slots` are different ones."""

    def __init__(self, slots: int) -> None:
        self._counts = np.zeros((slots, len(COUNTED)), np.int64)
        self._sums = np.zeros((slots, len(SUMMED)))
        self._maxima = np.zeros((slots, len(MAXIMA)))
        # Of 32 bits: half of the memory, and enough for years of a call.
        self._times = {name: in_pages(slots, BUCKETS, np.uint32) for name in TIMES}
        self._lows = {name: np.full(slots, np.iinfo(np.int64).max) for name in TIMES}
        self._highs = {name: np.full(slots, NEVER_NS) for name in TIMES}
        self._latest: list[tuple[Int64s, Int64s]] = []

    def begin(self, slot: int) -> None:
        """Forget the slot's former call."""
        self._counts[slot] = 0
        self._sums[slot] = self._maxima[slot] = 0.0
        for name, highs in self._highs.items():
            # A page that was never written takes no memory.
            if highs[slot] != NEVER_NS:
                self._times[name][slot] = 0
            highs[slot], self._lows[name][slot] = NEVER_NS, np.iinfo(np.int64).max
        self._latest = [(of[others], values[others]) for of, values in self._latest if (others := of != slot).any()]

    def count(self, name: str, slots: Int64s, numbers: Sequence[int] | Int64s) -> None:
        """Add numbers to a figure of these slots."""
        self._counts[slots, _COUNT_AT[name]] += numbers

    def add_jitter(
        self, name: JitterName, slots: Int64s, sums_us: Floats, counts: Sequence[int], max_us: Floats
    ) -> None:
        """Add J of so many packets of these slots to `jitter` or `source_jitter`."""
        self._sums[slots, _SUM_AT[f"{name}_sum_us"]] += sums_us
        self.count(f"{name}_count", slots, counts)
        maxima = self._maxima[slots, _MAXIMUM_AT[f"max_{name}_us"]]
        self._maxima[slots, _MAXIMUM_AT[f"max_{name}_us"]] = np.maximum(maxima, max_us)

    def add_skews(self, slots: Int64s, skews_ppm: Sequence[float], clamped: Sequence[bool]) -> None:
        """Add an estimate of each of these slots."""
        self._sums[slots, _SUM_AT["skew_sum_ppm"]] += skews_ppm
        self.count("skew_count", slots, np.ones(slots.size, np.int64))
        self.count("skew_clamped", slots, np.array(clamped, np.int64))

    def record(self, name: str, buckets: Int64s, of: Int64s, slots: Int64s, lows_ns: Int64s, highs_ns: Int64s) -> None:
        """Count times by their buckets. `of` is the slot of each, and `slots` have these extremes."""
        np.add.at(self._times[name].reshape(-1), of * BUCKETS + buckets, np.uint32(1))
        lows, highs = self._lows[name], self._highs[name]
        lows[slots], highs[slots] = np.minimum(lows[slots], lows_ns), np.maximum(highs[slots], highs_ns)

    def keep_latest(self, of: Int64s, round_trips_ns: Int64s) -> None:
        """Keep round trips for the live page. `of` is the slot of each."""
        if len(self._latest) < MAX_LATEST_BATCHES:
            self._latest.append((of, round_trips_ns))

    def take_latest(self) -> tuple[Int64s, Int64s]:
        """Return the round trips (ns) that became known since the last call, and the slot of each."""
        taken, self._latest = self._latest, []
        if not taken:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return np.concatenate([slots for slots, _ in taken]), np.concatenate([values for _, values in taken])

    def counts(self, slots: Int64s, names: Iterable[str]) -> Int64s:
        """Return figures of these slots: a row for each slot, a column for each name."""
        columns = np.array([_COUNT_AT[name] for name in names])
        found: Int64s = self._counts[slots[:, np.newaxis], columns]
        return found

    def number(self, slot: int, name: str) -> int:
        """Return one figure of a slot."""
        return int(self._counts[slot, _COUNT_AT[name]])

    def add_to(self, total: Slice, slot: int) -> None:
        """Add the slot's figures, without its times."""
        for names, figures in ((COUNTED, self._counts), (SUMMED, self._sums)):
            for name, figure in zip(names, figures[slot].tolist(), strict=True):
                setattr(total, name, getattr(total, name) + figure)
        for name, figure in zip(MAXIMA, self._maxima[slot].tolist(), strict=True):
            setattr(total, name, max(getattr(total, name), figure))

    def histogram(self, slot: int, name: str) -> Histogram:
        """Return one kind of the slot's times."""
        counts = self._times[name][slot] if self._highs[name][slot] != NEVER_NS else np.zeros(0, np.uint32)
        filled = np.flatnonzero(counts)
        if not filled.size:
            return Histogram()
        numbers = counts[filled].tolist()
        extremes = int(self._lows[name][slot]), int(self._highs[name][slot])
        return Histogram(dict(zip(filled.tolist(), numbers, strict=True)), *extremes, sum(numbers))
