"""Text from elsewhere, cut to what a status may hold. Pure.

A relay says in its own words what is wrong with it. One that has lost its mind must not fill etcd, nor make the API
server refuse the whole status.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_CHARACTERS = 500


def shorten(text: str | None, longest: int = MAX_CHARACTERS) -> str:
    """The text, or its beginning; `reason not told` for none."""
    if not text:
        return "reason not told"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def join_distinct(values: Iterable[str], most: int) -> str:
    """Each different value once, in order, at most so many and then how many more: `a,b,+3 more`."""
    different = sorted(set(values))
    more = len(different) - most
    return ",".join([*different[:most], *([f"+{more} more"] if more > 0 else [])])
