"""The operator's and the simulation's shares of a processor, over the measured parts of a phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from lab.base.proc import cpu_seconds
from lab.base.report import Figure

# A simulation that needs more of a processor may have delayed the figures itself.
MAX_SIMULATION_SHARE = 0.6
NOT_JUDGED = "not judged: the simulation took too much"


class Meter:
    """Measures two processes, the operator and the simulated relays."""

    def __init__(
        self,
        operator_pid: int,
        relays_pid: int,
        monotonic: Callable[[], float] = time.monotonic,
        used_seconds: Callable[[int], float] = cpu_seconds,
    ) -> None:
        self._pids = (operator_pid, relays_pid)
        self._monotonic = monotonic
        self._used_seconds = used_seconds
        self._used = [0.0, 0.0]
        self._seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure during the block."""
        before, began = [self._used_seconds(pid) for pid in self._pids], self._monotonic()
        yield
        self._seconds += self._monotonic() - began
        for at, pid in enumerate(self._pids):
            self._used[at] += self._used_seconds(pid) - before[at]

    @property
    def operator_share(self) -> float:
        """The operator's share of one processor."""
        return self._used[0] / self._seconds

    @property
    def simulation_share(self) -> float:
        """The simulation's share of one processor."""
        return self._used[1] / self._seconds

    def judged(self, phase: str, figures: Sequence[Figure]) -> list[Figure]:
        """Return a phase's figures and the simulation's share, without a judgement where that is too large."""
        share = self.simulation_share
        own = Figure(f"simulation's share of one processor, {phase}", f"{share:.0%}", f"{MAX_SIMULATION_SHARE:.0%}")
        if share > MAX_SIMULATION_SHARE:
            return [*(_unjudged(each) for each in figures), replace(own, bound=f"{own.bound}: exceeded")]
        return [*figures, own]


def _unjudged(figure: Figure) -> Figure:
    return figure if figure.holds is None else replace(figure, bound=f"{figure.bound}, {NOT_JUDGED}", holds=None)
