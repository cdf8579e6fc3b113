"""One-second slices of figures, and the window over the last closed ones.

A slice is closed when the fate of every packet sent in it is known. Figures of slices add; quantiles come from the
added histograms and are never averaged.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtppool_core.histogram import Histogram
from rtppool_core.report import LateByCause, WindowReport, export_histogram

NS_PER_SLICE = 1_000_000_000
# Lost is known after 2.5 s (see row_reader); collection runs at least once a second.
SLICE_CLOSES_AFTER_SECONDS = 5


@dataclass(slots=True)
class Slice:
    """Figures of the packets sent in one second. Jitter: sum and number of the streams' estimates in µs."""

    packets: int = 0
    answered: int = 0
    late_source: int = 0
    late_relay: int = 0
    late_echo: int = 0
    reordered: int = 0
    duplicates: int = 0
    too_late: int = 0
    source_lost: int = 0
    jitter_sum_us: float = 0.0
    source_jitter_sum_us: float = 0.0
    jitter_count: int = 0
    round_trip: Histogram = field(default_factory=Histogram)
    residence: Histogram = field(default_factory=Histogram)

    @property
    def lost(self) -> int:
        """Sent to the echo and not answered in time."""
        return self.packets - self.answered

    def add(self, other: Slice) -> None:
        """Add the other's figures to these."""
        self.packets += other.packets
        self.answered += other.answered
        self.late_source += other.late_source
        self.late_relay += other.late_relay
        self.late_echo += other.late_echo
        self.reordered += other.reordered
        self.duplicates += other.duplicates
        self.too_late += other.too_late
        self.source_lost += other.source_lost
        self.jitter_sum_us += other.jitter_sum_us
        self.source_jitter_sum_us += other.source_jitter_sum_us
        self.jitter_count += other.jitter_count
        self.round_trip.merge(other.round_trip)
        self.residence.merge(other.residence)

    def late(self) -> LateByCause:
        """Late packets by cause."""
        return LateByCause(self.late_source, self.late_relay, self.late_echo)

    def jitter_us(self) -> int | None:
        """Mean of the streams' RFC 3550 estimates at the echo's side; None when none was made."""
        return round(self.jitter_sum_us / self.jitter_count) if self.jitter_count else None

    def source_jitter_us(self) -> int | None:
        """The same for arrivals from Asterisk."""
        return round(self.source_jitter_sum_us / self.jitter_count) if self.jitter_count else None


class SliceStore:
    """Slices by second (Unix time), bounded to what windows need."""

    def __init__(self, keep_seconds: int = 120) -> None:
        self._keep_seconds = keep_seconds
        self._slices: dict[int, Slice] = {}
        self.total = Slice()

    def add(self, second: int, part: Slice) -> None:
        """Add figures to a second's slice and to the total since start."""
        held = self._slices.get(second)
        if held is None:
            held = self._slices[second] = Slice()
            self._forget(second)
        held.add(part)
        self.total.add(part)

    def window(self, now_ns: int, seconds: int) -> tuple[Slice, int, int]:
        """The last `seconds` closed slices added up, with the start and the end of the window in Unix seconds."""
        end = now_ns // NS_PER_SLICE - SLICE_CLOSES_AFTER_SECONDS + 1
        start = end - seconds
        added = Slice()
        for second, part in self._slices.items():
            if start <= second < end:
                added.add(part)
        return added, start, end

    def _forget(self, newest: int) -> None:
        for second in [second for second in self._slices if abs(newest - second) > self._keep_seconds]:
            del self._slices[second]


def window_report(store: SliceStore, now_ns: int, seconds: int) -> WindowReport | None:
    """A window as `/status` shows it; None when no packet's fate became known in it."""
    figures, start, end = store.window(now_ns, seconds)
    if figures.packets == 0:
        return None
    return WindowReport(
        start_unix_seconds=start,
        end_unix_seconds=end,
        packets=figures.packets,
        answered=figures.answered,
        lost=figures.lost,
        late=figures.late(),
        reordered=figures.reordered,
        duplicates=figures.duplicates,
        too_late=figures.too_late,
        source_lost=figures.source_lost,
        jitter_microseconds=figures.jitter_us(),
        source_jitter_microseconds=figures.source_jitter_us(),
        round_trip=export_histogram(figures.round_trip),
        residence=export_histogram(figures.residence),
    )
