"""Columns of many streams in one: rows lie stream by stream, and an owner column names the stream of each row.

A numpy call over all streams costs little more than the same call over one, and a relay has hundreds of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtppool_core.statistics.histogram import MAX_NS, MIN_NS, SUB_BUCKET_BITS, Histogram, bucket_of

Int64s = NDArray[np.int64]

_FIRST_SHIFT = MIN_NS.bit_length() - 1 - SUB_BUCKET_BITS


class StreamSpans:
    """Where the rows of each stream begin and end. `owners` must be ascending and not empty.

    Attributes:
        owners: the streams that have rows.
        starts: the first row of each.
        ends: one after the last row of each.
        ordinals: for each row, the position of its stream in `owners`.
    """

    __slots__ = ("ends", "ordinals", "owners", "starts")

    def __init__(self, owners: Int64s) -> None:
        changes = np.flatnonzero(owners[1:] != owners[:-1]) + 1
        self.starts: Int64s = np.concatenate(([0], changes))
        self.ends: Int64s = np.concatenate((changes, [owners.size]))
        self.owners: list[int] = owners[self.starts].tolist()
        self.ordinals: Int64s = np.repeat(np.arange(self.starts.size), self.ends - self.starts)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield each stream with its first row and one after its last."""
        return zip(self.owners, self.starts.tolist(), self.ends.tolist(), strict=True)

    def sums(self, values: NDArray[Any]) -> list[int]:
        """Return the sum of each stream's values; of flags, their number."""
        sums: list[int] = np.add.reduceat(values, self.starts, dtype=np.int64).tolist()
        return sums


def ranges(begins: Int64s, counts: Int64s) -> tuple[Int64s, Int64s]:
    """Return `counts` numbers from each of `begins` on, range by range, with the position of each number's range."""
    owners = np.repeat(np.arange(counts.size), counts)
    numbers: Int64s = np.arange(owners.size) + (begins - np.cumsum(counts) + counts)[owners]
    return owners, numbers


def previous(values: Int64s, spans: StreamSpans, carried: Sequence[int]) -> Int64s:
    """Return the value one row earlier of the same stream; for its first row, the value carried from its last batch."""
    shifted = np.empty_like(values)
    shifted[1:] = values[:-1]
    shifted[spans.starts] = carried
    return shifted


def wrapped_steps(timestamps: Int64s, earlier: Int64s) -> Int64s:
    """Return how many ticks each 32-bit timestamp is ahead of the earlier one, from -2^31 to 2^31 - 1."""
    steps: Int64s = ((timestamps - earlier + (1 << 31)) & 0xFFFF_FFFF) - (1 << 31)
    return steps


def middles_of(values: Int64s, counts: Int64s) -> tuple[Int64s, Int64s]:
    """Return the upper median and the largest value of each group. Groups follow each other, and none is empty."""
    starts = np.cumsum(counts) - counts
    middles = np.empty(counts.size, np.int64)
    for count in np.unique(counts).tolist():
        at = np.flatnonzero(counts == count)
        group = values[starts[at, np.newaxis] + np.arange(count)]
        group.partition(count // 2, axis=1)
        middles[at] = group[:, count // 2]
    return middles, np.maximum.reduceat(values, starts)


def buckets_of(values_ns: Int64s) -> Int64s:
    """Return the histogram bucket of every value (ns), as `bucket_of` does for one."""
    clipped = np.minimum(np.maximum(values_ns, 1), MAX_NS)
    # Exact: below 2^53 a float64 has the integer's own exponent.
    shift = np.frexp(clipped.astype(np.float64))[1].astype(np.int64) - 1 - SUB_BUCKET_BITS
    inside = ((shift - _FIRST_SHIFT - 1) << SUB_BUCKET_BITS) + (clipped >> np.maximum(shift, 0)) + 1
    return np.where(clipped < MIN_NS, bucket_of(0), inside)


def counts_of(values: Int64s) -> Iterator[tuple[int, int]]:
    """Yield the values that occur, ascending, each with how often it does."""
    found, numbers = np.unique(values, return_counts=True)
    return zip(found.tolist(), numbers.tolist(), strict=True)


def bucket_pairs(buckets: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield the buckets that occur, ascending, each with how often it does."""
    counts = np.bincount(buckets)
    filled = np.flatnonzero(counts)
    return zip(filled.tolist(), counts[filled].tolist(), strict=True)


def record_all(histogram: Histogram, values_ns: Int64s, buckets: Int64s | None = None) -> None:
    """Count every value (ns). `buckets` are those of the values, where the caller has them."""
    if values_ns.size:
        pairs = bucket_pairs(buckets_of(values_ns) if buckets is None else buckets)
        histogram.add_buckets(pairs, int(values_ns.min()), int(values_ns.max()))
