"""The core's histogram, filled from whole columns at once. Its tests hold it to the core's one-by-one form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtppool_core.histogram import HIGHEST_NS, LOWEST_NS, SUB_BUCKET_BITS, Histogram, bucket_of

_FIRST_SHIFT = LOWEST_NS.bit_length() - 1 - SUB_BUCKET_BITS


def buckets_of(values_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of every value (ns)."""
    clipped = np.clip(values_ns, 1, HIGHEST_NS)
    # Exact: below 2^53 a float64 has the integer's own exponent.
    shift = np.frexp(clipped.astype(np.float64))[1].astype(np.int64) - 1 - SUB_BUCKET_BITS
    inside = ((shift - _FIRST_SHIFT - 1) << SUB_BUCKET_BITS) + (clipped >> np.maximum(shift, 0)) + 1
    return np.where(clipped < LOWEST_NS, bucket_of(0), inside)


def record_all(histogram: Histogram, values_ns: NDArray[np.int64]) -> None:
    """Count every value (ns)."""
    if values_ns.size == 0:
        return
    buckets, counts = np.unique(buckets_of(values_ns), return_counts=True)
    pairs = zip(buckets.tolist(), counts.tolist(), strict=True)
    histogram.add_buckets(pairs, int(values_ns.min()), int(values_ns.max()))
