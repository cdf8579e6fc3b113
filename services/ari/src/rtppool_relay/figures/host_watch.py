"""Reads the kernel's counters of taken processor time once a second."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rtppool_core.host.witnesses import Counters, KernelCounters, host_time
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.figures.host_time import HostTime

READ_SECONDS = 1.0
NO_HEARTBEAT = {"heartbeat": "no heartbeat runs"}


class HostWatch:
    """Adds the host time between two readings to `host`. `pids` returns the media processes."""

    def __init__(self, host: HostTime, pids: Callable[[], Collection[int]], counters: KernelCounters) -> None:
        self._host = host
        self._pids = pids
        self._counters = counters
        self._before: Counters | None = None

    def read(self, now_ns: int) -> None:
        """Read the counters; `now_ns` is the measurement's clock. The time belongs to the second of its middle."""
        counters = self._counters.read(now_ns, self._pids())
        before, self._before = self._before, counters
        if before is None or now_ns <= before.at_ns:
            return
        second = (before.at_ns + now_ns) // 2 // NS_PER_SECOND
        self._host.add(second, host_time(before, counters), NO_HEARTBEAT | dict(counters.absent))
