"""The frame of a command: its turn on the machine, its messages and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from lab.base.errors import LabError
from lab.base.turns import hold_machine

CANNOT_RUN, INTERRUPTED = 2, 130


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def run_alone(name: str, act: Callable[[], int]) -> int:
    """Run a command that needs the whole machine; return its exit code.

    0: everything held. 1: something did not hold. 2: the command could not run. 130: the user interrupted it.
    """
    try:
        with hold_machine():
            return act()
    except LabError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return CANNOT_RUN
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
