"""Figures as text."""

from __future__ import annotations


def milliseconds(microseconds: int | None) -> str:
    """Return `0.21 ms`, or a dash for a figure that was not measured."""
    return "-" if microseconds is None else f"{microseconds / 1000:.2f} ms"
