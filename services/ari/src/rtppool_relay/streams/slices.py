"""One-second slices of figures, and the window over the last closed ones.

A slice is closed when the fate of every packet sent in it is known. Figures of slices add up. Quantiles come from the
sum of histograms and are never averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal

from msgspec import field, structs

from rtppool_core.contract.figures import COUNTS, TIMES, PacketCounts
from rtppool_core.contract.report import (
    DirectedLossReport,
    LateByCause,
    ReorderingReport,
    WindowReport,
    export_bursts,
    export_histogram,
)
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.emodel import Estimate, MeasuredPath, estimate
from rtppool_core.statistics.histogram import PDV_PER_MILLE, Histogram
from rtppool_core.units import NS_PER_US

JitterName = Literal["jitter", "source_jitter"]

NS_PER_SLICE = 1_000_000_000
# Lost is known after 2.5 s (see row_reader), and rows are collected at least this often.
MAX_COLLECT_SECONDS = 1
SLICE_CLOSES_AFTER_SECONDS = 5


class Slice(PacketCounts, frozen=False):  # type: ignore[misc]  # sums grow, reports do not
    """Figures of the packets sent in one second, or of a call. Sums, maxima and histograms, so that slices add.

    The SLA judges `late_judged` of all late packets, or `late_judged_with_host` where the host counts. `witnessed`
    packets were compared with the RTP clock while a witness of the host's time watched. Answers of an echo on another
    machine have its host time (`echo_host_reported`) or lack it. Jitter: sum, number and maximum of the packets' J
    (RFC 3550). Skew: sum and number of the streams' estimates. The maxima are 0 while nothing was measured.
    `source_variation` is each packet's delay from Asterisk above the shortest of 30 s. The echo's residence, the
    network's round trip and the directions of loss need the echo's header extension.
    """

    packets: int = 0
    answered: int = 0
    late_source: int = 0
    late_relay: int = 0
    late_echo: int = 0
    late_host: int = 0
    late_judged: int = 0
    late_judged_with_host: int = 0
    witnessed: int = 0
    echo_host_reported: int = 0
    echo_host_unreported: int = 0
    lost_to_echo: int = 0
    lost_from_echo: int = 0
    lost_undetermined: int = 0
    max_reordering_extent: int = 0
    max_reordering_late_ns: int = 0
    max_n_reordering: int = 0
    jitter_sum_us: float = 0.0
    jitter_count: int = 0
    max_jitter_us: float = 0.0
    source_jitter_sum_us: float = 0.0
    source_jitter_count: int = 0
    max_source_jitter_us: float = 0.0
    skew_sum_ppm: float = 0.0
    skew_count: int = 0
    skew_clamped: int = 0
    g711_packets: int = 0
    g711_ns: int = 0
    other_codec_packets: int = 0
    bursts: BurstCounts = field(default_factory=BurstCounts)
    round_trip: Histogram = field(default_factory=Histogram)
    residence: Histogram = field(default_factory=Histogram)
    source_variation: Histogram = field(default_factory=Histogram)
    echo_residence: Histogram = field(default_factory=Histogram)
    network_round_trip: Histogram = field(default_factory=Histogram)

    @property
    def lost(self) -> int:
        """Packets sent to the echo and not answered in time."""
        return self.packets - self.answered

    @property
    def expected(self) -> int:
        """Packets that should have returned: those sent to the echo, and those missing from Asterisk."""
        return self.packets + self.source_lost

    @property
    def judged_late(self) -> int:
        """Packets that were compared with the RTP clock: late or not."""
        return self.source_variation.count

    def is_empty(self) -> bool:
        """Return whether nothing was counted."""
        return self == _EMPTY

    def add(self, other: Slice) -> None:
        """Add the figures of another slice."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MAXIMA:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.bursts.add(other.bursts)
        for name in TIMES:
            getattr(self, name).merge(getattr(other, name))

    def add_jitter(self, name: JitterName, sum_us: float, count: int, max_us: float) -> None:
        """Add J of `count` packets to `jitter` or `source_jitter`."""
        if name == "jitter":
            self.jitter_sum_us += sum_us
            self.jitter_count += count
            self.max_jitter_us = max(self.max_jitter_us, max_us)
        else:
            self.source_jitter_sum_us += sum_us
            self.source_jitter_count += count
            self.max_source_jitter_us = max(self.max_source_jitter_us, max_us)

    def late(self, judge_host: bool = False) -> LateByCause:
        """Return the late packets by cause, and those that the SLA judges, with the host's part or without it."""
        return LateByCause(
            self.late_source,
            self.late_relay,
            self.late_echo,
            self.late_host if self.witnessed else None,
            self.judged(judge_host) if self.judged_late else None,
        )

    def judged(self, judge_host: bool) -> int:
        """Return the late packets that count towards `maxLatePpm`."""
        return self.late_judged_with_host if judge_host else self.late_judged

    def jitter_us(self) -> int | None:
        """Return the mean of RFC 3550's J over the packets at the echo's side; None without an estimate."""
        return round(self.jitter_sum_us / self.jitter_count) if self.jitter_count else None

    def jitter_max_us(self) -> int | None:
        """Return the maximum of J at the echo's side; None without an estimate."""
        return round(self.max_jitter_us) if self.jitter_count else None

    def source_jitter_us(self) -> int | None:
        """Return the same mean for arrivals from Asterisk."""
        return round(self.source_jitter_sum_us / self.source_jitter_count) if self.source_jitter_count else None

    def source_jitter_max_us(self) -> int | None:
        """Return the same maximum for arrivals from Asterisk."""
        return round(self.max_source_jitter_us) if self.source_jitter_count else None

    def skew_ppm(self) -> int | None:
        """Return the mean estimate of how much slower than ours Asterisk's clock runs; None without an estimate."""
        return round(self.skew_sum_ppm / self.skew_count) if self.skew_count else None

    def is_skew_clamped(self) -> bool | None:
        """Return whether a stream's skew was beyond the clamp, and clamped in the mean; None without an estimate."""
        return self.skew_clamped > 0 if self.skew_count else None

    def g711_packet_ns(self) -> int | None:
        """Return the mean media of an answered packet; None where a packet had another codec than G.711."""
        if self.other_codec_packets or not self.g711_packets:
            return None
        return self.g711_ns // self.g711_packets

    def estimate(self) -> Estimate | None:
        """Estimate R and MOS; None below 100 packets, without a round trip, and for another codec than G.711."""
        return estimate(
            MeasuredPath(
                round_trips=self.round_trip,
                source_variation=self.source_variation,
                packets=self.packets,
                source_lost=self.source_lost,
                lost=self.lost,
                burst_ratio=self.bursts.burst_ratio(self.expected),
                packet_ns=self.g711_packet_ns(),
                lost_to_echo=self.lost_to_echo,
                lost_from_echo=self.lost_from_echo,
            )
        )

    def directed_loss(self) -> DirectedLossReport | None:
        """Return the directions of loss; None while the echo does not fill the header extension."""
        if not self.echo_residence.count:
            return None
        return DirectedLossReport(self.lost_to_echo, self.lost_from_echo, self.lost_undetermined)

    def reordering(self) -> ReorderingReport | None:
        """Return extent, late time and degree of reordering; None when no packet was reordered."""
        if not self.reordered:
            return None
        late_us = round(self.max_reordering_late_ns / NS_PER_US)
        return ReorderingReport(self.max_reordering_extent, late_us, self.max_n_reordering)


def add_up(slices: Sequence[Slice]) -> Slice:
    """Return the sum of slices, without their times: the histograms are empty."""
    added = Slice()
    if slices:
        for names, total in ((_SUMS, sum), (_MAXIMA, max)):
            columns = zip(*map(attrgetter(*names), slices), strict=True)
            for name, column in zip(names, columns, strict=True):
                setattr(added, name, total(column))
    for part in slices:
        added.bursts.add(part.bursts)
    return added


_EMPTY = Slice()
_MAXIMA = tuple(each.name for each in structs.fields(Slice) if each.name.startswith("max_"))
_SUMS = tuple(each.name for each in structs.fields(Slice) if each.name not in {"bursts", *TIMES, *_MAXIMA})


class _RunningTimes:
    """The histograms of the seconds of a window that moves on: each second is added once, and taken away once."""

    def __init__(self) -> None:
        self._start = self._end = 0
        self._counts: dict[str, dict[int, int]] = {}

    def holds(self, second: int) -> bool:
        """Whether a second is in the sum."""
        return self._start <= second < self._end

    def add(self, part: Slice, sign: int = 1) -> None:
        """Add the times of a slice, or take them away."""
        for name in TIMES:
            counts = self._counts[name]
            for bucket, number in getattr(part, name).counts.items():
                left = counts.get(bucket, 0) + sign * number
                if left:
                    counts[bucket] = left
                else:
                    del counts[bucket]

    def move(self, start: int, end: int, slices: Mapping[int, Slice]) -> None:
        """Move to the seconds from `start` up to, not including, `end`."""
        if not (self._start <= start < self._end <= end):
            self._counts = {name: {} for name in TIMES}
            self._start = self._end = start
        for sign, seconds in ((-1, range(self._start, start)), (1, range(self._end, end))):
            for second in seconds:
                if second in slices:
                    self.add(slices[second], sign)
        self._start, self._end = start, end

    def histogram(self, name: str, parts: Sequence[Slice]) -> Histogram:
        """Return the sum of one kind of times. `parts` are the slices in it."""
        filled = [each for part in parts if (each := getattr(part, name)).count]
        if not filled:
            return Histogram()
        return Histogram(
            dict(self._counts[name]),
            min(each.min_ns for each in filled),
            max(each.max_ns for each in filled),
            sum(each.count for each in filled),
        )


class SliceStore:
    """Slices by second (Unix time), as many as a window needs, and the total since start."""

    def __init__(self, window_seconds: int = 60) -> None:
        self._keep_seconds = 0
        self.keep_window(window_seconds)
        self._slices: dict[int, Slice] = {}
        self._window: tuple[int, int, Slice] | None = None
        self._times = _RunningTimes()
        self.total = Slice()

    def keep_window(self, seconds: int) -> None:
        """Keep the slices of a window of this many closed seconds from now on."""
        self._keep_seconds = seconds + SLICE_CLOSES_AFTER_SECONDS

    def add(self, second: int, part: Slice) -> None:
        """Add figures to a second's slice and to the total since start."""
        held = self._slices.get(second)
        if held is None:
            held = self._slices[second] = Slice()
            self._forget(second)
        held.add(part)
        if self._times.holds(second):
            self._times.add(part)
        self.total.add(part)
        self._outdate(second)

    def window(self, now_ns: int, seconds: int) -> tuple[Slice, int, int]:
        """Return the sum of the last `seconds` closed slices, with start and end of the window in Unix seconds.

        The sum is cached until its second is over or late figures arrive for it. Callers must not change it.
        """
        end = now_ns // NS_PER_SLICE - SLICE_CLOSES_AFTER_SECONDS + 1
        start = end - seconds
        if self._window is None or self._window[:2] != (start, end):
            self._window = start, end, self._added(start, end)
        return self._window[2], start, end

    def between(self, start: int, end: int) -> Iterator[tuple[int, Slice]]:
        """Yield slices from `start` up to, not including, `end`, with their seconds. Callers must not change them."""
        for second, part in self._slices.items():
            if start <= second < end:
                yield second, part

    def _added(self, start: int, end: int) -> Slice:
        self._times.move(start, end, self._slices)
        parts = [part for _, part in self.between(start, end)]
        added = add_up(parts)
        for name in TIMES:
            setattr(added, name, self._times.histogram(name, parts))
        return added

    def _forget(self, newest: int) -> None:
        for second in [second for second in self._slices if abs(newest - second) > self._keep_seconds]:
            forgotten = self._slices.pop(second)
            if self._times.holds(second):
                self._times.add(forgotten, -1)
            self._outdate(second)

    def _outdate(self, second: int) -> None:
        """Compute the window anew where this second is in it."""
        if self._window is not None and self._window[0] <= second < self._window[1]:
            self._window = None


def window_report(
    store: SliceStore, now_ns: int, seconds: int, lead_seconds: int = 0, *, judge_host: bool = False
) -> WindowReport | None:
    """Return a window as `/status` publishes it; None when no packet's fate became known in it.

    The wall clock is `lead_seconds` ahead of the clock that the store's seconds are of.
    """
    figures, start, end = store.window(now_ns, seconds)
    if figures.packets == 0:
        return None
    histograms: dict[str, Any] = {name: export_histogram(getattr(figures, name)) for name in TIMES}
    return WindowReport(
        start_unix_seconds=start + lead_seconds,
        end_unix_seconds=end + lead_seconds,
        **export_figures(figures, judge_host),
        **histograms,
    )


def export_figures(figures: Slice, judge_host: bool) -> dict[str, Any]:
    """Return the fields of `StreamFigures`."""
    quality = figures.estimate()
    return {
        **{name: getattr(figures, name) for name in ("packets", "answered", "lost", *COUNTS)},
        "late": figures.late(judge_host),
        "reordering": figures.reordering(),
        "directed_loss": figures.directed_loss(),
        "bursts": export_bursts(figures.bursts, figures.expected),
        "jitter_microseconds": figures.jitter_us(),
        "jitter_max_microseconds": figures.jitter_max_us(),
        "source_jitter_microseconds": figures.source_jitter_us(),
        "source_jitter_max_microseconds": figures.source_jitter_max_us(),
        "pdv_microseconds": microseconds(figures.round_trip.pdv_ns()),
        "source_pdv_microseconds": microseconds(figures.source_variation.quantile_ns(PDV_PER_MILLE)),
        "skew_ppm": figures.skew_ppm(),
        "skew_clamped": figures.is_skew_clamped(),
        "g711_packet_microseconds": microseconds(figures.g711_packet_ns()),
        "estimated_r_factor": round(quality.r_factor, 1) if quality else None,
        "estimated_mos": round(quality.mos, 2) if quality else None,
    }


def microseconds(nanoseconds: int | None) -> int | None:
    """Round to µs; None stays None."""
    return None if nanoseconds is None else round(nanoseconds / NS_PER_US)
