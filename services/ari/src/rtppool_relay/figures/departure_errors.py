"""What the kernel's stamps of departures say about our own readings: how much later packets really left."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_core.contract.report import DepartureErrorReport

# Ten calls give this many in a minute; bounded, so that the figures are those of the latest departures.
KEPT = 1024


@dataclass(slots=True)
class DepartureErrors:
    """The latest errors (ns), calls and probe together: the same code and the same clock."""

    _latest: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, errors_ns: NDArray[np.int64]) -> None:
        """Take what one stream's stamps said."""
        self._latest.extend(errors_ns.tolist())

    def report(self) -> DepartureErrorReport | None:
        """Nearest-rank quantiles; None before the first stamp."""
        if not self._latest:
            return None
        ordered = sorted(self._latest)
        count = len(ordered)
        return DepartureErrorReport(
            samples=count,
            p50_ns=ordered[-(-count // 2) - 1],
            p99_ns=ordered[-(-99 * count // 100) - 1],
            max_ns=ordered[-1],
        )
