"""A log-linear histogram over nanoseconds: 1 µs to 60 s, 64 buckets in each octave, so at most 1.6 % wide.

Histograms of one scheme merge by adding counts. A quantile is nearest-rank (the ceil(p*n)-th smallest sample), read at
the middle of its bucket. The smallest and the largest sample are exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

SCHEME = "loglinear64-1us-60s"
SUB_BUCKET_BITS = 6
PDV_PER_MILLE = 999
MIN_NS = 1 << 10
MAX_NS = (1 << 36) - 1
_SHIFT_OF_LOWEST = 10 - SUB_BUCKET_BITS
# Bucket 0 holds all values below MIN_NS, the last bucket all values from its lower bound on.
BUCKETS = ((36 - SUB_BUCKET_BITS - _SHIFT_OF_LOWEST) << SUB_BUCKET_BITS) + 1


class SchemeError(ValueError):
    """An exported histogram of another scheme, or with impossible buckets."""


def bucket_of(value_ns: int) -> int:
    """Return the bucket that counts `value_ns`."""
    if value_ns < MIN_NS:
        return 0
    value_ns = min(value_ns, MAX_NS)
    shift = value_ns.bit_length() - 1 - SUB_BUCKET_BITS
    return ((shift - _SHIFT_OF_LOWEST - 1) << SUB_BUCKET_BITS) + (value_ns >> shift) + 1


def bounds_ns(bucket: int) -> tuple[int, int]:
    """Return the smallest value of `bucket` and the smallest above it."""
    if bucket == 0:
        return 0, MIN_NS
    octave, step = divmod(bucket - 1, 1 << SUB_BUCKET_BITS)
    shift = octave + _SHIFT_OF_LOWEST
    lower = ((1 << SUB_BUCKET_BITS) + step) << shift
    return lower, lower + (1 << shift)


@dataclass(slots=True)
class Histogram:
    """Counts by bucket (sparse), with exact extremes in ns. Empty: `count` 0 and no quantiles."""

    counts: dict[int, int] = field(default_factory=dict)
    min_ns: int | None = None
    max_ns: int | None = None
    count: int = 0

    def record(self, value_ns: int) -> None:
        """Count one sample."""
        bucket = bucket_of(value_ns)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self._stretch(value_ns, value_ns)
        self.count += 1

    def add_buckets(self, buckets: Iterable[tuple[int, int]], min_ns: int, max_ns: int) -> None:
        """Count many samples: (bucket, number) pairs with their exact extremes."""
        added = 0
        for bucket, number in buckets:
            self.counts[bucket] = self.counts.get(bucket, 0) + number
            added += number
        if added:
            self._stretch(min_ns, max_ns)
            self.count += added

    def merge(self, other: Histogram) -> None:
        """Add the other histogram's samples."""
        if other.min_ns is None or other.max_ns is None:
            return
        if self.counts:
            self.add_buckets(other.counts.items(), other.min_ns, other.max_ns)
        else:
            # Most sums begin with one second, which is then copied at once.
            self.counts = dict(other.counts)
            self.min_ns, self.max_ns, self.count = other.min_ns, other.max_ns, other.count

    def quantile_ns(self, per_mille: int) -> int | None:
        """Return the nearest-rank quantile in ns, `per_mille` from 1 to 1000 (500 is the median); None when empty."""
        if self.count == 0 or self.max_ns is None or self.min_ns is None:
            return None
        rank = -(-per_mille * self.count // 1000)
        if rank >= self.count:
            return self.max_ns
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                lower, upper = bounds_ns(bucket)
                return max(self.min_ns, min(self.max_ns, (lower + upper) // 2))
        return self.max_ns

    def pdv_ns(self) -> int | None:
        """Return the packet delay variation of RFC 5481 as one number (6.5, 11), in ns; None when empty.

        It is the 99.9th percentile of the delays less the shortest.
        """
        quantile_ns = self.quantile_ns(PDV_PER_MILLE)
        return None if quantile_ns is None or self.min_ns is None else quantile_ns - self.min_ns

    def _stretch(self, low_ns: int, high_ns: int) -> None:
        self.min_ns = low_ns if self.min_ns is None else min(self.min_ns, low_ns)
        self.max_ns = high_ns if self.max_ns is None else max(self.max_ns, high_ns)
