"""The core's histogram, filled from whole columns at once. Its tests hold it to the core's one-by-one form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtppool_core.statistics.histogram import MAX_NS, MIN_NS, SUB_BUCKET_BITS, Histogram, bucket_of

Int64s = NDArray[np.int64]

_FIRST_SHIFT = MIN_NS.bit_length() - 1 - SUB_BUCKET_BITS


def buckets_of(values_ns: Int64s) -> Int64s:
    """The bucket of every value (ns)."""
    clipped = np.minimum(np.maximum(values_ns, 1), MAX_NS)
    # Exact: below 2^53 a float64 has the integer's own exponent.
    shift = np.frexp(clipped.astype(np.float64))[1].astype(np.int64) - 1 - SUB_BUCKET_BITS
    inside = ((shift - _FIRST_SHIFT - 1) << SUB_BUCKET_BITS) + (clipped >> np.maximum(shift, 0)) + 1
    return np.where(clipped < MIN_NS, bucket_of(0), inside)


def record_all(histogram: Histogram, values_ns: Int64s, buckets: Int64s | None = None) -> None:
    """Count every value (ns); `buckets` are `buckets_of` them where the caller has them."""
    if values_ns.size == 0:
        return
    counts = np.bincount(buckets_of(values_ns) if buckets is None else buckets)
    filled = np.flatnonzero(counts)
    pairs = zip(filled.tolist(), counts[filled].tolist(), strict=True)
    histogram.add_buckets(pairs, int(values_ns.min()), int(values_ns.max()))
