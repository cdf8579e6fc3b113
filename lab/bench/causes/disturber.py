"""The program `reference/disturb.c`: a plan of stalls, and the log of the real ones."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.bench.causes.intervals import NOTHING, Intervals, intersection, union
from lab.bench.causes.plan import Stall
from lab.bench.programs.reference_process import ReferenceProcess, running

RECORD = np.dtype([("kind", "<i4"), ("target", "<i4"), ("begin", "<i8"), ("end", "<i8")])
STOP, SPIN, GAP = range(3)

Records = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class StallLog:
    """The stalls that were made. In a gap the first thread of a group with a quota did not run."""

    records: Records

    def stopped(self, pids: Sequence[int]) -> Intervals:
        """Return when these processes were stopped."""
        return _intervals(self.records[(self.records["kind"] == STOP) & np.isin(self.records["target"], pids)])

    def by_processor(self, min_gap_ns: int = 1_000_000) -> dict[int, Intervals]:
        """Return when each processor was taken, by a spin or by a gap of at least `min_gap_ns`."""
        records = self.records
        taken = (records["kind"] == SPIN) | (
            (records["kind"] == GAP) & (records["end"] - records["begin"] >= min_gap_ns)
        )
        targets = records["target"]
        return {int(each): _intervals(records[taken & (targets == each)]) for each in np.unique(targets[taken])}

    def host(self) -> Intervals:
        """Return when all processors were taken at once."""
        return intersection(list(self.by_processor().values()))

    def any_processor(self) -> Intervals:
        """Return when at least one processor was taken."""
        return union(list(self.by_processor().values()))


@dataclass(slots=True)
class Disturber:
    """A running program with its plan read."""

    _process: ReferenceProcess
    _log: Path
    _plan: tuple[Stall, ...] = ()

    async def start(self, stalls: Sequence[Stall]) -> int:
        """Start the plan; return the wall clock at its start, in ns."""
        self._plan = tuple(stalls)
        for stall in stalls:
            self._process.send(stall.line)
        self._process.send("go")
        (began_ns,) = await self._process.expect("began")
        return int(began_ns)

    async def finish(self, within_seconds: float) -> StallLog:
        """Wait for the last stall and return the log."""
        await self._process.expect("done", within_seconds)
        try:
            return StallLog(np.fromfile(self._log, RECORD))
        finally:
            self._log.unlink()

    def continue_all(self) -> None:
        """Continue all processes of the plan: a run may end in the middle of a stop."""
        for pid in {pid for stall in self._plan for pid in stall.pids}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def disturber(program: Path, log: Path) -> AsyncIterator[Disturber]:
    """Run the program for the length of the block. It stalls nothing before `start`."""
    async with running(program, log) as process:
        await process.expect("ready")
        stalls = Disturber(process, log)
        try:
            yield stalls
        finally:
            await process.end()
            stalls.continue_all()


def joined(logs: Sequence[StallLog]) -> StallLog:
    """Return the stalls of several programs as one log."""
    return StallLog(np.concatenate([each.records for each in logs]))


def _intervals(records: Records) -> Intervals:
    if records.size == 0:
        return NOTHING
    return Intervals.of(records["begin"].astype(np.int64), records["end"].astype(np.int64))
