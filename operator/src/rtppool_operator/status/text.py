"""Limits for text from relays, so that a faulty relay can't make a pool's status unwritable."""

from __future__ import annotations

from collections.abc import Iterable

MAX_CHARACTERS = 500


def shorten(text: str | None, longest: int = MAX_CHARACTERS) -> str:
    """Cut a text to `longest` characters; return `no reason given` for none."""
    if not text:
        return "no reason given"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def join_distinct(values: Iterable[str], most: int) -> str:
    """Join up to `most` distinct values in order, and append the number of the others: `a,b,+3 more`."""
    distinct = sorted(set(values))
    more = len(distinct) - most
    return ",".join([*distinct[:most], *([f"+{more} more"] if more > 0 else [])])
