"""Types of command line arguments, within bounds; a refusal says what is accepted."""

from __future__ import annotations

import argparse
from collections.abc import Callable

MAX_CALLS = 4096
MAX_PER_SECOND = 1000
MAX_SECONDS = 86_400


def calls(least: int) -> Callable[[str], int]:
    """A number of calls."""
    return lambda text: _bounded("calls", text, least, MAX_CALLS)


def port(text: str) -> int:
    """A port; 0 where any is fine."""
    return _bounded("port", text, 0, 65535)


def rate(text: str) -> float:
    """Calls a second."""
    found = _number(text)
    if not 0 < found <= MAX_PER_SECOND:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a rate above 0, up to {MAX_PER_SECOND}")
    return found


def seconds(text: str) -> float:
    """A duration."""
    found = _number(text)
    if not 0 < found <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted are seconds above 0, up to {MAX_SECONDS}")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _bounded(name: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{name} {text!r}; accepted is a whole number from {least} to {most}")
    return int(text)
