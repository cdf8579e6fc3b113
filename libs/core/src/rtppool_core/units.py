"""Units of time and of shares. A figure beside its limit is rounded up, so that no larger one looks equal to it."""

from __future__ import annotations

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000
PPM = 1_000_000


def microseconds_up(nanoseconds: int | None) -> int | None:
    """Convert to µs, rounded up; None stays None."""
    return None if nanoseconds is None else -(-nanoseconds // NS_PER_US)


def parts_per_million(part: int, whole: int) -> int | None:
    """Return a share in ppm, rounded up; None where the whole is 0."""
    return -(-part * PPM // whole) if whole else None
