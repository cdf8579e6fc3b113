"""Plans of stalls: when each begins and its length, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rtppool_core.units import NS_PER_MS, NS_PER_SECOND

MIN_STALL_MS, MAX_STALL_MS = 5, 100
# Long enough for the queues of the longest stall to drain.
MIN_PAUSE_MS, MAX_PAUSE_MS = 120, 480


class Means(StrEnum):
    """How `reference/disturb.c` makes a stall: by SIGSTOP, by a real-time thread, or by using up a CPU quota."""

    STOP = "stop"
    SPIN = "spin"
    BURN = "burn"


@dataclass(frozen=True, slots=True)
class Stall:
    """A planned stall, in ns after the plan's start. `pids` are the processes of a `STOP`."""

    means: Means
    begin_ns: int
    length_ns: int
    pids: tuple[int, ...] = ()

    @property
    def line(self) -> str:
        """The stall as `reference/disturb.c` reads it."""
        return " ".join(map(str, (self.means, self.begin_ns, self.length_ns, *self.pids)))


def random_stalls(
    means: Means, chance: random.Random, from_seconds: float, seconds: float, pids: Sequence[int] = ()
) -> list[Stall]:
    """Return stalls of 5 to 100 ms with pauses between them, all within a stretch of the plan."""
    found: list[Stall] = []
    at = from_seconds * NS_PER_SECOND
    while True:
        at += chance.uniform(MIN_PAUSE_MS, MAX_PAUSE_MS) * NS_PER_MS
        length = chance.uniform(MIN_STALL_MS, MAX_STALL_MS) * NS_PER_MS
        if at + length > (from_seconds + seconds) * NS_PER_SECOND:
            return found
        found.append(Stall(means, round(at), round(length), tuple(pids)))
        at += length


def regular_stalls(means: Means, every_ms: float, length_ms: float, from_seconds: float, seconds: float) -> list[Stall]:
    """Return stalls of one length at regular times."""
    count = int(seconds * 1000 / every_ms)
    first = from_seconds * NS_PER_SECOND
    return [
        Stall(means, round(first + number * every_ms * NS_PER_MS), round(length_ms * NS_PER_MS))
        for number in range(count)
    ]
