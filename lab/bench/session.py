"""The arguments of every measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.bench.programs.compiled import Programs


@dataclass(frozen=True, slots=True)
class Session:
    """Programs, options, a folder for the run, and a function that prints progress.

    `rounds` are measured rounds, which follow a warm-up round. `seconds` is the measured time of a round. A run with
    known causes has two stretches of `stretch_seconds`. `scenarios` are words: a scenario runs whose name has one.
    `pairs` of runs, each of `pair_seconds`, compare two settings. `marks` collects sentences about rounds that the
    machine disturbed. `library` has the variables with which the relay runs in the form that images have.
    """

    programs: Programs
    rtpengine: Path | None
    rounds: int
    seconds: float
    long_seconds: float
    stretch_seconds: float
    scenarios: Sequence[str]
    pairs: int
    pair_seconds: float
    hostile_packets: int
    folder: Path
    say: Callable[[str], None]
    library: Mapping[str, str] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
