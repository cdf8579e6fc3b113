"""Plans of stalls: when each begins and its length, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rtppool_core.units import NS_PER_MS, NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Lengths:
    """Bounds of stalls and of the pauses between them, long enough for the queues of the longest stall to drain."""

    min_stall_ms: float
    max_stall_ms: float
    min_pause_ms: float
    max_pause_ms: float


USUAL_LENGTHS = Lengths(5, 100, 120, 480)
# Little longer than the time after which a packet is late.
SHORT_LENGTHS = Lengths(4, 6, 15, 45)


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
    means: Means,
    chance: random.Random,
    from_seconds: float,
    seconds: float,
    pids: Sequence[int] = (),
    lengths: Lengths = USUAL_LENGTHS,
) -> list[Stall]:
    """Return stalls with pauses between them, all within a stretch of the plan."""
    found: list[Stall] = []
    at = from_seconds * NS_PER_SECOND
    while True:
        at += chance.uniform(lengths.min_pause_ms, lengths.max_pause_ms) * NS_PER_MS
        length = chance.uniform(lengths.min_stall_ms, lengths.max_stall_ms) * NS_PER_MS
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
