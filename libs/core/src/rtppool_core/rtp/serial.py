"""Arithmetic on RTP timestamps, which wrap at 32 bits, and the limits of a plausible step in the sequence.

A difference is taken modulo the width and read as signed, so that a step across the wrap is an ordinary step
(RFC 1982; RFC 3550 A.8).
"""

from __future__ import annotations

# RFC 3550 A.1: a larger step ahead is a jump of the sequence, and a number further behind is not a late packet.
MAX_DROPOUT = 3000
MAX_MISORDER = 100


def timestamp_difference(newer: int, older: int) -> int:
    """Return how many ticks `newer` is ahead of `older`, from -2^31 to 2^31 - 1."""
    return ((newer - older + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
