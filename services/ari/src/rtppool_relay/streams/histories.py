"""The packets of the last 30 s of many streams, for their baselines: a row for each stream in arrays that all share.

A numpy call over the rows of hundreds of streams costs little more than one over a single row. Times are in ns.

A row is a ring: the packet that was added as number n lies at n modulo the capacity. The packets from `start` up to
`end` are in it, and transits can be compared from `anchored` on. All other places hold `ABSENT`, which is above any
time: so a percentile of the ring is one of its packets. Round trips have 32 bits, and longer ones are lost.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.streams.columns import ranges

# 30 s of 50 packets a second, and three seconds more. A stream with more packets gets a ring of its own.
CAPACITY = 1_664
ABSENT = 1 << 62
MAX_ROUND_TRIP_NS = (1 << 31) - 2
ABSENT_ROUND_TRIP = (1 << 31) - 1
# Rows that are computed together: more do not fit into a processor's nearer caches.
MAX_ROWS_AT_ONCE = 16

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Window(NamedTuple):
    """Packets of one row, in the order in which they were added."""

    arrivals: Int64s
    transits: Int64s
    round_trips: NDArray[np.int32]
    slewed: Int64s


class Histories:
    """The packets of `rows` streams. Arrays are by row; `begin` a row before its first packet.

    Attributes:
        levels: the latest low percentile of a second's transits, where `has_level`, and when it was measured.
    """

    def __init__(self, rows: int, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        # Pages are taken when they are written: a row without a stream costs nothing.
        self.arrivals = in_pages(rows, capacity, np.int64)
        self.transits = in_pages(rows, capacity, np.int64)
        self.round_trips = in_pages(rows, capacity, np.int32)
        # Until the wall clock is slewed, there is nothing to keep.
        self._slewed: Int64s | None = None
        self.start, self.end, self.anchored = np.zeros((3, rows), np.int64)
        self.levels, self.levels_at = np.zeros((2, rows), np.int64)
        self.has_level = np.zeros(rows, np.bool_)
        # Kept, because memory that is taken anew for each computation costs as much as the computation.
        at_once = min(rows, MAX_ROWS_AT_ONCE)
        self._compared, self._ages = np.empty((2, at_once, capacity), np.int64)
        self._drift = np.empty((at_once, capacity))
        self._round_trips = np.empty((at_once, capacity), np.int32)

    def begin(self, row: int) -> None:
        """Empty a row."""
        self.arrivals[row] = 0
        self.transits[row], self.round_trips[row] = ABSENT, ABSENT_ROUND_TRIP
        self.start[row] = self.end[row] = self.anchored[row] = 0
        self.has_level[row] = False

    def anchor(self, row: int, packets_back: int = 0) -> None:
        """Compare no transit any more of packets before the last `packets_back`."""
        before, anchored = int(self.anchored[row]), int(self.end[row]) - packets_back
        self.transits[row, np.arange(before, anchored) % self.capacity] = ABSENT
        self.anchored[row] = anchored
        self.has_level[row] = False

    def has_room(self, rows: Int64s, counts: Int64s) -> Flags:
        """Return whether so many packets more fit into each row."""
        room: Flags = self.end[rows] - self.start[rows] + counts <= self.capacity
        return room

    def expire(self, rows: Int64s, before_ns: Int64s) -> None:
        """Forget the packets of each row that arrived before a time."""
        first = self.start[rows]
        start = self._search(rows, first, before_ns)
        owners, numbers = ranges(first, start - first)
        places = rows[owners] * self.capacity + numbers % self.capacity
        self.transits.ravel()[places], self.round_trips.ravel()[places] = ABSENT, ABSENT_ROUND_TRIP
        self.start[rows] = start
        self.anchored[rows] = np.maximum(self.anchored[rows], start)

    def add(self, rows: Int64s, counts: Int64s, packets: Int64s) -> None:
        """Add packets, row by row. `packets` has arrivals, transits, round trips, and the wall clock's slew at each."""
        owners, numbers = ranges(self.end[rows], counts)
        places = rows[owners] * self.capacity + numbers % self.capacity
        arrivals, transits, round_trips, slewed = packets
        self.arrivals.ravel()[places], self.transits.ravel()[places] = arrivals, transits
        self.round_trips.ravel()[places] = np.minimum(round_trips, MAX_ROUND_TRIP_NS)
        if self._slewed is None and slewed.any():
            self._slewed = in_pages(self.start.size, self.capacity, np.int64)
        if self._slewed is not None:
            self._slewed.ravel()[places] = slewed
        self.end[rows] += counts

    def window(self, row: int, first: int | None = None) -> Window:
        """Return the packets of a row from number `first` on; by default those whose transits can be compared."""
        first = int(self.anchored[row]) if first is None else first
        places = np.arange(first, self.end[row]) % self.capacity
        slewed = np.zeros(places.size, np.int64) if self._slewed is None else self._slewed[row, places]
        return Window(self.arrivals[row, places], self.transits[row, places], self.round_trips[row, places], slewed)

    def slewed_window(self, row: int) -> Window | None:
        """Return the packets whose transits can be compared, if the wall clock was slewed between them."""
        if self._slewed is None:
            return None
        window = self.window(row)
        return window if window.slewed[0] != window.slewed[-1] else None

    def copy_row(self, row: int, capacity: int) -> Histories:
        """Return the packets of a row in a single, longer one."""
        longer, kept = Histories(1, capacity), self.window(row, int(self.start[row]))
        longer.begin(0)
        only = np.zeros(1, np.int64)
        longer.add(only, np.array([kept.arrivals.size]), np.stack([each.astype(np.int64) for each in kept]))
        longer.anchored[0] = self.anchored[row] - self.start[row]
        for name in ("levels", "levels_at", "has_level"):
            getattr(longer, name)[0] = getattr(self, name)[row]
        return longer

    def lows_since(self, rows: Int64s, since_ns: Int64s, per_cent: int) -> Int64s:
        """Return a percentile of each row's transits of packets that arrived since a time. No row has none."""
        first = self._search(rows, self.anchored[rows], since_ns)
        counts = self.end[rows] - first
        owners, numbers = ranges(first, counts)
        transits = self.transits.ravel()[rows[owners] * self.capacity + numbers % self.capacity]
        starts, lows = np.cumsum(counts) - counts, np.empty(rows.size, np.int64)
        for count in np.unique(counts).tolist():
            at = np.flatnonzero(counts == count)
            group = transits[starts[at, np.newaxis] + np.arange(count)]
            lows[at] = _at_rank(group, rank_of(count, per_cent))
        return lows

    def echo_baselines(self, rows: Int64s, per_cent: int) -> Int64s:
        """Return a percentile of each row's round trips."""
        found = np.empty(rows.size, np.int64)
        for at, rank in _by_rank(self.end[rows] - self.start[rows], per_cent):
            round_trips = np.take(self.round_trips, rows[at], axis=0, out=self._round_trips[: at.size], mode="clip")
            found[at] = _at_rank(round_trips, rank)
        return found

    def source_baselines(self, rows: Int64s, now_ns: Int64s, skew_ppm: Floats, per_cent: int) -> tuple[Int64s, Int64s]:
        """Return a percentile of each row's comparable transits without their drift, and the shortest of them."""
        lows, shortest = np.empty((2, rows.size), np.int64)
        for at, rank in _by_rank(self.end[rows] - self.anchored[rows], per_cent):
            compared = np.take(self.transits, rows[at], axis=0, out=self._compared[: at.size], mode="clip")
            if skew_ppm[at].any():
                ages = np.take(self.arrivals, rows[at], axis=0, out=self._ages[: at.size], mode="clip")
                ages -= now_ns[at, np.newaxis]
                drift = np.multiply(ages, (skew_ppm[at] * 1e-6)[:, np.newaxis], out=self._drift[: at.size])
                np.copyto(ages, drift, casting="unsafe")
                compared -= ages
            lows[at] = _at_rank(compared, rank)
            shortest[at] = compared[:, : rank + 1].min(axis=1)
        return lows, shortest

    def _search(self, rows: Int64s, first: Int64s, before_ns: Int64s) -> Int64s:
        """Return the number of the first packet of each row, from `first` on, that did not arrive before a time.

        The steps are those of `searchsorted`, also where some arrivals are out of order.
        """
        low, high = first.copy(), self.end[rows]
        arrivals, begins = self.arrivals.ravel(), rows * self.capacity
        while (searching := low < high).any():
            middle = (low + high) >> 1
            is_before = arrivals[begins + middle % self.capacity] < before_ns
            low = np.where(searching & is_before, middle + 1, low)
            high = np.where(searching & ~is_before, middle, high)
        return low


def rank_of(count: int, per_cent: int) -> int:
    """Return the place of a percentile among so many ordered values, by nearest rank."""
    return -(-per_cent * count // 100) - 1


def _by_rank(counts: Int64s, per_cent: int) -> Iterator[tuple[Int64s, int]]:
    """Yield the places of some rows with the rank that they share."""
    ranks = -(-per_cent * counts // 100) - 1
    for rank in np.unique(ranks).tolist():
        at = np.flatnonzero(ranks == rank)
        for start in range(0, at.size, MAX_ROWS_AT_ONCE):
            yield at[start : start + MAX_ROWS_AT_ONCE], rank


def _at_rank(values: NDArray[Any], rank: int) -> NDArray[Any]:
    """Return the value of each row at a rank. The values are reordered."""
    values.partition(rank, axis=1)
    return values[:, rank]


def in_pages(rows: int, columns: int, kind: type[np.integer[Any]]) -> NDArray[Any]:
    """Return an array of zeros without memory: numpy would ask for huge pages, of 2 MiB each."""
    pages = mmap.mmap(-1, rows * columns * np.dtype(kind).itemsize)
    return np.frombuffer(pages, kind).reshape(rows, columns)
