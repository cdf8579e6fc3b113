"""A cgroup with a CPU quota, in version 1 or 2."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from rtppool_core.units import NS_PER_US

ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
# The group stands beside all other processes of the machine as one: its threads should wait for the quota alone.
MAX_WEIGHT = {"cpu.shares": "262144", "cpu.weight": "10000"}


@dataclass(frozen=True, slots=True)
class Throttling:
    """The counters of `cpu.stat`. `throttled_ns` is the sum over the processors."""

    periods: int
    throttled_periods: int
    throttled_ns: int

    def since(self, earlier: Throttling) -> Throttling:
        """Return the increase."""
        return Throttling(
            self.periods - earlier.periods,
            self.throttled_periods - earlier.throttled_periods,
            self.throttled_ns - earlier.throttled_ns,
        )


@dataclass(frozen=True, slots=True)
class CpuGroup:
    """A group below the controller's root."""

    folder: Path

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Hold this process in the group for the length of the block: its children begin and stay there."""
        self._move(self.folder)
        try:
            yield
        finally:
            self._move(self.folder.parent)

    def limit(self, quota_us: int, period_us: int) -> None:
        """Allow so much CPU time in each period."""
        if (self.folder / "cpu.max").exists():
            self._write("cpu.max", f"{quota_us} {period_us}")
        else:
            self._write("cpu.cfs_period_us", str(period_us))
            self._write("cpu.cfs_quota_us", str(quota_us))

    def throttling(self) -> Throttling:
        """Read `cpu.stat`."""
        return parse_throttling((self.folder / "cpu.stat").read_text())

    def _move(self, folder: Path) -> None:
        try:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
        except OSError as error:
            raise LabError(f"this process can't enter the cgroup {folder}: {error.strerror}") from error

    def _write(self, name: str, value: str) -> None:
        try:
            (self.folder / name).write_text(value)
        except OSError as error:
            raise LabError(f"{self.folder / name} refuses {value}: {error.strerror}") from error


def parse_throttling(text: str) -> Throttling:
    """Return the counters of a `cpu.stat` of either version: ns as `throttled_time`, µs as `throttled_usec`."""
    values = {name: int(value) for name, value in (line.split() for line in text.splitlines())}
    throttled_ns = values.get("throttled_time", values.get("throttled_usec", 0) * NS_PER_US)
    return Throttling(values.get("nr_periods", 0), values.get("nr_throttled", 0), throttled_ns)


@contextmanager
def cpu_group() -> Iterator[CpuGroup]:
    """Make a group for the length of the block. Its processes must have ended before the end.

    Raises:
        LabError: the kernel offers no CPU controller here, or this user may make no group.
    """
    root = next((each for each in ROOTS if (each / "cgroup.procs").exists()), None)
    if root is None:
        raise LabError("no cgroup with a CPU controller is mounted; a CPU quota needs one")
    group = CpuGroup(root / f"rtp-pool-bench-{os.getpid()}")
    try:
        group.folder.mkdir()
    except OSError as error:
        raise LabError(f"{group.folder} can't be made: {error.strerror}; a CPU quota needs root") from error
    try:
        for name, weight in MAX_WEIGHT.items():
            if (group.folder / name).exists():
                (group.folder / name).write_text(weight)
        yield group
    finally:
        with contextlib.suppress(OSError):
            group.folder.rmdir()
