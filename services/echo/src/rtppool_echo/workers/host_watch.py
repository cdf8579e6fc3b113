"""Host time of the echo's machine since the echo started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from rtppool_core.host.figures import HostFigures
from rtppool_core.host.heartbeat import Heartbeat, watched_processors
from rtppool_core.host.witnesses import Counters, KernelCounters, host_time
from rtppool_core.process.periodic import PeriodicJobs

COLLECT_EVERY_SECONDS = 1.0

Pids = Callable[[], Collection[int]]


class HostWatch:
    """Adds up the host time of the reflecting processes, and runs the heartbeat. `heartbeat` is for their packets.

    A relay on this machine has a heartbeat of its own, and a second one would only cost. So the echo's starts when
    `is_needed` first returns True: when a sender on another machine was answered.

    `real_time`: the heartbeat asks for real-time priority, as the reflecting processes do. Its end, or a counter that
    can't be read, ends nothing else.
    """

    def __init__(self, is_needed: Callable[[], bool], *, real_time: bool) -> None:
        self.heartbeat = Heartbeat(watched_processors(), real_time=real_time)
        self.total = HostFigures()
        self._is_needed = is_needed
        self._is_started = False
        self._counters = KernelCounters()
        self._last: Counters | None = None
        self._job: asyncio.Task[None] | None = None

    def start(self, pids: Pids) -> None:
        """Collect once a second from now on. `pids` returns the reflecting processes."""
        job = PeriodicJobs().repeat("collecting host time", COLLECT_EVERY_SECONDS, lambda: self.collect(pids()))
        self._job = asyncio.create_task(job)

    async def close(self) -> None:
        """End the heartbeat."""
        if self._job is not None:
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)
        await self.heartbeat.close()

    async def collect(self, pids: Collection[int]) -> None:
        """Add the host time since the last call, and have the heartbeat observe these processes."""
        if not self._is_started and self._is_needed():
            self._is_started = True
            await self.heartbeat.start()
        self.heartbeat.observe(pids)
        now = self._counters.read(time.monotonic_ns(), pids)
        if self._last is not None:
            self.total = self.total.plus(host_time(self._last, now))
        self._last = now
        self.total = self.total.plus(HostFigures(stalled_ns=self._stalled_ns()))

    def _stalled_ns(self) -> dict[int, int] | None:
        """Return the new stalls by processor; None where no heartbeat runs."""
        stalled = dict.fromkeys(self.heartbeat.watched, 0)
        for event in self.heartbeat.new_events():
            if not event.is_wait:
                stalled[event.processor] = stalled.get(event.processor, 0) + event.end_ns - event.start_ns
        return stalled or None
