"""RFC 3550 interarrival jitter (6.4.1, A.8) over columns; the same figures as `rtppool_core.statistics.Jitter`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class StreamJitter:
    """The running estimate of one stream, in ticks of its clock."""

    clock_rate_hz: int
    ticks: float = 0.0
    measured: bool = False
    _last: tuple[int, int] | None = None

    def update(self, arrivals_ns: NDArray[np.int64], timestamps: NDArray[np.int64]) -> None:
        """Take packets in any order; they are read in order of arrival."""
        if arrivals_ns.size == 0:
            return
        order = np.argsort(arrivals_ns, kind="stable")
        arrivals, stamps = arrivals_ns[order], timestamps[order]
        first = self._last or (int(arrivals[0]), int(stamps[0]))
        ticks = np.diff(stamps, prepend=first[1])
        ticks = (ticks + (1 << 31)) % (1 << 32) - (1 << 31)
        deviations = np.abs(np.diff(arrivals, prepend=first[0]) * (self.clock_rate_hz / 1e9) - ticks)
        estimate = self.ticks
        for deviation in deviations[0 if self._last else 1 :].tolist():
            estimate += (deviation - estimate) / 16
            self.measured = True
        self.ticks = estimate
        self._last = (int(arrivals[-1]), int(stamps[-1]))

    def restart(self) -> None:
        """The next packet has no predecessor (new stream, clock step)."""
        self._last = None

    @property
    def microseconds(self) -> float:
        """The estimate in µs."""
        return self.ticks * 1e6 / self.clock_rate_hz
