"""Arithmetic on numbers that wrap: RTP sequence numbers (16 bit) and RTP timestamps (32 bit).

Differences are taken modulo the width and read as signed, so that a step across the wrap is an ordinary step
(RFC 1982; RFC 3550 A.1 and A.8).
"""

from __future__ import annotations

SEQUENCE_MODULUS = 1 << 16
TIMESTAMP_MODULUS = 1 << 32


def sequence_difference(newer: int, older: int) -> int:
    """How far `newer` is ahead of `older`, from -32768 to 32767."""
    return ((newer - older + 0x8000) & 0xFFFF) - 0x8000


def timestamp_difference(newer: int, older: int) -> int:
    """How many ticks `newer` is ahead of `older`, from -2^31 to 2^31 - 1."""
    return ((newer - older + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def extend_sequence(sequence: int, highest_extended: int) -> int:
    """The extended number nearest to `highest_extended` whose low 16 bits are `sequence`.

    It may be below zero when a stream's first packets arrive out of order.
    """
    return highest_extended + sequence_difference(sequence, highest_extended & 0xFFFF)
