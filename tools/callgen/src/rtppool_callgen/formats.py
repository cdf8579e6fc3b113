"""Figures as text."""

from __future__ import annotations


def milliseconds(microseconds: int | None) -> str:
    """Return `0.21 ms`, rounded up, or a dash for a figure that was not measured."""
    return "-" if microseconds is None else f"{-(-microseconds // 10) / 100:.2f} ms"
