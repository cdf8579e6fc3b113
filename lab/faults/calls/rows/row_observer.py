"""An outside reader of a relay's rows that judges windows of them with the product's statistics."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from lab.base.relay_rows import map_rows
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.statistics.histogram import Histogram
from rtppool_relay.figures.sla import judge
from rtppool_relay.media.rows import Word
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_relay.streams.slices import NS_PER_SLICE, SLICE_CLOSES_AFTER_SECONDS, Slice, SliceStore
from rtppool_relay.streams.statistics import StreamStatistics, collect_all
from rtppool_relay.streams.steady_clock import SteadyClock

TICK_SECONDS = 1.0
WINDOW_SECONDS = 10
CLOCK_RATE_HZ = 8000
OBSERVED_SLOTS = 512  # more slots than a run has calls; relays use the first slots first


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window with its verdict. Times are in ns, None without a measurement."""

    met: bool
    packets: int
    lost: int
    late_by_relay: int
    residence: Histogram
    round_trip_p99_ns: int | None


class RowObserver:
    """All streams of the relay with the control process `pid`."""

    def __init__(self, pid: int, limits: SlaLimits) -> None:
        """Map the rows among the descriptors of the process.

        Raises:
            LabError: the process holds no rows.
        """
        self._rings = RowRings(map_rows(pid))
        self._limits = limits
        self._clock = SteadyClock()
        self._streams: dict[int, StreamStatistics] = {}
        self._store = SliceStore()

    async def watch(self, seconds: float) -> None:
        """Collect rows for so long. Earlier rows are read as well, and belong to past seconds."""
        self._store.keep_window(round(seconds) + SLICE_CLOSES_AFTER_SECONDS)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._find_streams()
            now_ns = time.time_ns()
            for second, part in collect_all(list(self._streams.values()), now_ns).by_second.items():
                self._store.add(second, part)
            await asyncio.sleep(TICK_SECONDS)

    def windows(self, from_second: int, number: int, calls: int) -> list[Window]:
        """Return consecutive windows from a second of Unix time on, judged as those of a relay with `calls` calls."""
        found = []
        for each in range(number):
            end = from_second + (each + 1) * WINDOW_SECONDS
            closed_ns = (end + SLICE_CLOSES_AFTER_SECONDS - 1) * NS_PER_SLICE
            figures, start, _ = self._store.window(closed_ns, WINDOW_SECONDS)
            if start != end - WINDOW_SECONDS:
                raise AssertionError("a window is as long as asked")
            found.append(_judged(figures, calls, self._limits))
        return found

    @property
    def streams(self) -> int:
        """The number of streams found."""
        return len(self._streams)

    def _find_streams(self) -> None:
        for slot in range(OBSERVED_SLOTS):
            if slot not in self._streams and self._rings.words[slot, Word.SSRC]:
                threshold_ns = self._limits.late_threshold_microseconds * 1000
                reader = RowReader(self._rings, slot)
                self._streams[slot] = StreamStatistics(reader, CLOCK_RATE_HZ, threshold_ns, self._clock)


def _judged(figures: Slice, calls: int, limits: SlaLimits) -> Window:
    # The store reuses the window, so its histogram is copied.
    residence = Histogram()
    residence.merge(figures.residence)
    return Window(
        met=judge(figures, calls, limits).report.result == "Met",
        packets=figures.packets,
        lost=figures.lost,
        late_by_relay=figures.late_relay,
        residence=residence,
        round_trip_p99_ns=figures.round_trip.quantile_ns(990),
    )
