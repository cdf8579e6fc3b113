"""Become a program with short slices: `python -m lab.bench.programs.short_slices PROGRAM [ARGUMENT...]`.

Our packet processes ask for them where they have no real-time priority (`rtppool_core.process.scheduling`). A program
that is compared with them gets the same, because short slices cost CPU time: the kernel moves such a process to another
processor twice as often.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from rtppool_core.process.scheduling import ask_for_short_slices


def main() -> NoReturn:
    """Ask for short slices, and replace this process by the program."""
    if not ask_for_short_slices():
        sys.exit("bench: the kernel refuses short slices")
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 the bench names the program


def with_short_slices(command: list[str]) -> list[str]:
    """Return the command that runs a program, which is named by its path, with short slices."""
    return [sys.executable, "-m", __name__, *command]


if __name__ == "__main__":
    main()
