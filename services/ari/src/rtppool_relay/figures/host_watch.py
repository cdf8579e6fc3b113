"""Reads the witnesses of taken processor time: the kernel's counters once a second, the heartbeat as often as asked."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

from rtppool_core.host.beats_memory import TakenTime
from rtppool_core.host.figures import HostFigures
from rtppool_core.host.intervals import Interval
from rtppool_core.host.witnesses import Counters, KernelCounters, host_time
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.figures.host_time import HostTime
from rtppool_relay.streams.stalls import Stalls, StallSource

READ_SECONDS = 1.0
# Rows are judged at most 2.5 s and one interval of collections (10 s) after they were written.
KEEP_EVENTS_NS = 20 * NS_PER_SECOND
# A heartbeat that loses its processor once more writes an event so much later than it ended.
MAX_WRITING_NS = 5 * NS_PER_SECOND


class Beats(Protocol):
    """A heartbeat, as `HostWatch` reads it."""

    @property
    def absence(self) -> str | None:
        """Why no processor is watched; None while all are."""

    @property
    def watched(self) -> list[int]:
        """The processors whose heartbeat runs."""

    def observe(self, packet_pids: Collection[int]) -> None:
        """Watch the waits of these processes."""

    def new_events(self) -> list[TakenTime]:
        """Return the stalls and waits since the last call."""

    @property
    def overwritten(self) -> int:
        """The stalls and waits so far that were overwritten before they were read."""

    def in_progress(self, now_ns: int, raw_offset_ns: int) -> list[TakenTime]:
        """Return the stalls that last until now."""


class HostWatch:
    """Adds the host time between two readings to `host`. `pids` returns the media processes."""

    def __init__(
        self, host: HostTime, pids: Callable[[], Collection[int]], counters: KernelCounters, heartbeat: Beats
    ) -> None:
        self._host = host
        self._pids = pids
        self._counters = counters
        self._heartbeat = heartbeat
        self._before: Counters | None = None
        self._events: deque[TakenTime] = deque()
        self._stalled_ns: Counter[int] = Counter()
        self._overwritten = 0

    def read(self, now_ns: int) -> None:
        """Read the counters; `now_ns` is the measurement's clock. The time belongs to the second of its middle."""
        pids = self._pids()
        self._heartbeat.observe(pids)
        self._read_events()
        counters = self._counters.read(now_ns, pids)
        before, self._before = self._before, counters
        if before is None or now_ns <= before.at_ns:
            return
        second = (before.at_ns + now_ns) // 2 // NS_PER_SECOND
        self._host.add(second, host_time(before, counters).plus(self._take_stalled()), self._absent(counters))

    def stalls(self, steady_ns: Callable[[int], int]) -> StallSource:
        """Return the latest stalls and waits. `steady_ns` converts a reading of CLOCK_MONOTONIC_RAW."""
        self._read_events()
        now_ns = time.monotonic_ns()
        while self._events and now_ns - self._events[0].end_ns > KEEP_EVENTS_NS:
            self._events.popleft()
        return LatestStalls(self._heartbeat, self._events, steady_ns)

    def _read_events(self) -> None:
        for event in sorted(self._heartbeat.new_events(), key=lambda event: event.end_ns):
            self._events.append(event)
            if not event.is_wait:
                self._stalled_ns[event.processor] += event.end_ns - event.start_ns

    def _take_stalled(self) -> HostFigures:
        """Return the stalls since the last call, with 0 for a watched processor that had none."""
        stalled, self._stalled_ns = self._stalled_ns, Counter()
        watched = {*self._heartbeat.watched, *stalled}
        return HostFigures(stalled_ns={each: stalled[each] for each in sorted(watched)} if watched else None)

    def _absent(self, counters: Counters) -> Mapping[str, str]:
        absence = self._heartbeat.absence or self._overwritten_clause()
        return {**counters.absent, **({} if absence is None else {"heartbeat": absence})}

    def _overwritten_clause(self) -> str | None:
        """Return a clause where stalls since the last call are unknown."""
        new = self._heartbeat.overwritten - self._overwritten
        self._overwritten += new
        return f"{new} stalls were overwritten before they were read" if new else None


class LatestStalls:
    """The events of a heartbeat as stalls, in the time of a clock.

    `events` are in the order in which they ended, except for those that were written late.
    """

    def __init__(self, heartbeat: Beats, events: Sequence[TakenTime], steady_ns: Callable[[int], int]) -> None:
        self._heartbeat = heartbeat
        self._events = events
        self._steady_ns = steady_ns

    @property
    def watching(self) -> bool:
        """Whether any processor is watched, or was a moment ago."""
        return bool(self._heartbeat.watched or self._events)

    def since(self, begin_ns: int) -> Stalls:
        """Return the stalls and waits that ended after a time, and those that last until now."""
        now_ns = time.monotonic_ns()
        offset_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - now_ns
        events = [*self._ended_after(begin_ns), *self._heartbeat.in_progress(now_ns, offset_ns)]
        return stalls_of(self._heartbeat.watched, events, self._steady_ns)

    def _ended_after(self, begin_ns: int) -> Iterator[TakenTime]:
        for event in reversed(self._events):
            ended_ns = self._steady_ns(event.end_ns + event.raw_offset_ns)
            if ended_ns > begin_ns:
                yield event
            elif ended_ns < begin_ns - MAX_WRITING_NS:
                return


def stalls_of(watched: Sequence[int], events: Sequence[TakenTime], steady_ns: Callable[[int], int]) -> Stalls:
    """Return events as stalls and waits of processors, in the time of a clock."""
    stalls: dict[int, list[Interval]] = {processor: [] for processor in watched}
    waits: defaultdict[int, list[Interval]] = defaultdict(list)
    unseen: defaultdict[int, list[Interval]] = defaultdict(list)
    for event in events:
        end_ns = steady_ns(event.end_ns + event.raw_offset_ns)
        start_ns = end_ns - (event.end_ns - event.start_ns)
        if event.is_wait:
            waits[event.processor].append((start_ns, end_ns))
        else:
            stalls.setdefault(event.processor, []).append((start_ns, end_ns))
            unseen[event.processor].append((start_ns - event.unseen_ns, start_ns))
    return Stalls(stalls, waits, unseen)
