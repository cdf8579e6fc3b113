"""What every measurement is given: programs, options, a folder for the run, and a way to say how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.bench.programs.compiled import Programs


@dataclass(frozen=True, slots=True)
class Session:
    """`rounds` are those that count, a warm-up round comes before; `seconds` is what a round measures."""

    programs: Programs
    rtpengine: Path | None
    rounds: int
    seconds: float
    long_seconds: float
    hostile_packets: int
    folder: Path
    say: Callable[[str], None]
