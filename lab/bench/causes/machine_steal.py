"""The time that the hypervisor took from this machine."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_STEAL = 8
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Steal:
    """A reading: stolen seconds of all processors, and when it was read."""

    stolen_seconds: float
    at_seconds: float

    @classmethod
    def read(cls) -> Self:
        """Read `/proc/stat`."""
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return cls(int(fields[_STEAL]) / _TICKS_PER_SECOND, time.monotonic())

    def per_cent_since(self, earlier: Steal) -> float:
        """Return the stolen share of all processors' time, in per cent."""
        passed = (self.at_seconds - earlier.at_seconds) * (os.cpu_count() or 1)
        return 100 * (self.stolen_seconds - earlier.stolen_seconds) / passed if passed else 0.0
