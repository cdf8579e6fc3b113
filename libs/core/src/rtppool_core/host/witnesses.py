"""Readings of the kernel's counters of taken processor time. Each is optional: a machine or a container may lack it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rtppool_core.host.control_groups import group_of_processors
from rtppool_core.host.figures import HostFigures
from rtppool_core.host.kernel_texts import (
    Throttling,
    pressure_ns,
    processors_online,
    run_delay_ns,
    steal_ns,
    throttling,
)

PROC = Path("/proc")

Value = TypeVar("Value")
Key = TypeVar("Key")


class AbsentWitnessError(Exception):
    """A counter can't be read; the message is a clause that says why."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Readings at one moment, in ns since some moment in the past.

    `run_delays_ns` is by process, `throttled` by directory of the control group and its parents. `absent` has the
    reason for each counter that is None, by the names of `WITNESSES`.
    """

    at_ns: int
    processors: int | None = None
    stolen_ns: int | None = None
    run_delays_ns: Mapping[int, int] | None = None
    throttled: Mapping[str, Throttling] | None = None
    pressure_ns: int | None = None
    absent: Mapping[str, str] = field(default_factory=dict)


class KernelCounters:
    """Reads the counters of this machine, of the packet processes, and of this process's control group."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._ticks_a_second = os.sysconf("SC_CLK_TCK")
        # The text that names the control group, and the group's directories: mounts are many, and do not move.
        self._found: tuple[str, tuple[str, ...]] | None = None

    def read(self, at_ns: int, pids: Collection[int]) -> Counters:
        """Read all counters. `pids` are the packet processes."""
        absent: dict[str, str] = {}

        def value_of(name: str, read: Callable[[], Value]) -> Value | None:
            try:
                return read()
            except AbsentWitnessError as reason:
                absent[name] = str(reason)
                return None

        stat = value_of("steal", lambda: _text(self._proc / "stat"))
        return Counters(
            at_ns=at_ns,
            processors=None if stat is None else processors_online(stat) or None,
            stolen_ns=None if stat is None else value_of("steal", lambda: self._stolen_ns(stat)),
            run_delays_ns=value_of("runDelay", lambda: self._run_delays_ns(pids)),
            throttled=value_of("throttling", self._throttled),
            pressure_ns=value_of("pressure", self._pressure_ns),
            absent=absent,
        )

    def _stolen_ns(self, stat: str) -> int:
        return _present(steal_ns(stat, self._ticks_a_second), "/proc/stat has no column of stolen time")

    def _run_delays_ns(self, pids: Collection[int]) -> dict[int, int]:
        if not pids:
            raise AbsentWitnessError("no packet process runs")
        delays: dict[int, int] = {}
        reason = ""
        for pid in pids:
            path = self._proc / str(pid) / "schedstat"
            try:
                delays[pid] = _present(run_delay_ns(_text(path)), f"{path} has no run delay")
            except AbsentWitnessError as absence:
                reason = str(absence)
        if not delays:
            raise AbsentWitnessError(reason)
        return delays

    def _throttled(self) -> dict[str, Throttling]:
        counters = {directory: throttling(_text(Path(directory) / "cpu.stat")) for directory in self._directories()}
        limited = {directory: counter for directory, counter in counters.items() if counter is not None}
        if not limited:
            raise AbsentWitnessError("no control group of this process counts throttling (it has no CPU controller)")
        return limited

    def _pressure_ns(self) -> int:
        path = self._proc / "pressure" / "cpu"
        return _present(pressure_ns(_text(path)), f"{path} has no total")

    def _directories(self) -> tuple[str, ...]:
        own = _text(self._proc / "self" / "cgroup")
        if self._found is None or self._found[0] != own:
            group = group_of_processors(own, _text(self._proc / "self" / "mountinfo"))
            self._found = own, _present(group, "the control group of this process is not mounted").directories
        return self._found[1]


def host_time(before: Counters, after: Counters) -> HostFigures:
    """Return the host time between two readings. A counter that one of them lacks gives None.

    Of a control group and its parents, the one counts that was held back longest: their times overlap.
    """
    throttled = _each_increase(before.throttled, after.throttled, lambda each: each.throttled_ns)
    periods = _each_increase(before.throttled, after.throttled, lambda each: each.periods)
    delays = _each_increase(before.run_delays_ns, after.run_delays_ns, lambda each: each)
    return HostFigures(
        capacity_ns=None if after.processors is None else after.processors * (after.at_ns - before.at_ns),
        stolen_ns=_increase(before.stolen_ns, after.stolen_ns),
        run_delay_ns=None if delays is None else sum(delays),
        throttled_ns=None if throttled is None else max(throttled),
        throttled_periods=None if periods is None else max(periods),
        pressure_ns=_increase(before.pressure_ns, after.pressure_ns),
    )


def _increase(before: int | None, after: int | None) -> int | None:
    # Stolen time may run backwards by some ticks when a guest moves to another machine.
    return None if before is None or after is None else max(0, after - before)


def _each_increase(
    before: Mapping[Key, Value] | None, after: Mapping[Key, Value] | None, number: Callable[[Value], int]
) -> list[int] | None:
    """Return the increases of what both readings have; None where they share nothing."""
    if before is None or after is None:
        return None
    shared = before.keys() & after.keys()
    return [max(0, number(after[key]) - number(before[key])) for key in shared] or None


def _text(path: Path) -> str:
    try:
        # Once a second for several files: a text file object would cost more than the reading.
        with path.open("rb", buffering=0) as file:
            return file.readall().decode(errors="replace")
    except OSError as error:
        raise AbsentWitnessError(f"{path} can't be read ({error.strerror})") from None


def _present(value: Value | None, reason: str) -> Value:
    if value is None:
        raise AbsentWitnessError(reason)
    return value
