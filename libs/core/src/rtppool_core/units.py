"""Units of time."""

from __future__ import annotations

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000


def microseconds_up(nanoseconds: int | None) -> int | None:
    """Convert to µs, rounded up, so that a figure above a limit is never shown as equal to it; None stays None."""
    return None if nanoseconds is None else -(-nanoseconds // NS_PER_US)
