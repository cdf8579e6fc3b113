"""A histogram of round trips as the parts of an SVG drawing, with the limits marked.

Both axes are logarithmic: round trips of interest lie between 50 µs and 50 ms, and the few slow ones matter most.
Horizontal positions are percentages, so that the plot is as wide as the page and its text keeps its size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rtppool_core.statistics.histogram import BUCKETS, MIN_NS, SUB_BUCKET_BITS, Histogram, bounds_ns, bucket_of
from rtppool_core.units import NS_PER_US
from rtppool_relay.http.sentences import format_duration, format_number

PLOT_HEIGHT = 180
LABEL_ROW_HEIGHT = 18
TICK_ROW_HEIGHT = 22
MAX_BARS = 110
MAX_TICKS = 14
LAST_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit on the axis."""

    label: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Bar:
    """Samples from `low_ns` up to, not including, `high_ns`."""

    low_ns: int
    high_ns: int
    count: int


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis from `low_ns` to `high_ns`, 0 to 100 percent."""

    low_ns: float
    high_ns: float

    def percent(self, value_ns: float) -> float:
        """Return a value's position; the nearer end for a value outside the axis."""
        inside = min(max(value_ns, self.low_ns), self.high_ns)
        return LAST_PERCENT * math.log(inside / self.low_ns) / math.log(self.high_ns / self.low_ns)

    def ticks(self) -> list[int]:
        """Return round values in ns: 1, 2, 5 of each decade, or the decades alone above `MAX_TICKS`."""
        for steps in ((1, 2, 5), (1,)):
            ticks = [
                step * 10**power
                for power in range(3, 12)
                for step in steps
                if self.low_ns <= step * 10**power <= self.high_ns
            ]
            if len(ticks) <= MAX_TICKS:
                break
        return ticks


def group_bars(histogram: Histogram, axis: Axis) -> list[Bar]:
    """Group neighbouring buckets, so that about `MAX_BARS` bars fit on the axis."""
    across = bucket_of(int(axis.high_ns)) - bucket_of(int(axis.low_ns)) + 1
    together = 1
    while across / together > MAX_BARS and together < 1 << SUB_BUCKET_BITS:
        together *= 2
    counts: Counter[int] = Counter()
    for bucket, count in histogram.counts.items():
        counts[-(-bucket // together)] += count
    return [_bar(group, together, count) for group, count in sorted(counts.items()) if count]


def span_axis(histogram: Histogram, marks: Iterable[Mark]) -> Axis:
    """Return an axis with all samples and all marks on it, and a margin at both ends."""
    places = [mark.at_ns for mark in marks]
    if histogram.min_ns is not None and histogram.max_ns is not None:
        places += [histogram.min_ns, histogram.max_ns]
    low, high = max(min(places), MIN_NS), max(*places, 2 * MIN_NS)
    return Axis(low * 0.8, high * 1.25)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A part of the drawing at `x` and `y`: a bar, a line or a text, with the classes that give its colour."""

    x: str
    y: str
    classes: str = ""
    width: str = ""
    height: str = ""
    text: str = ""
    shift: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """All parts of the drawing. `bottom` is the place of the axis."""

    height: int
    bottom: int
    counts: list[Drawn]
    bars: list[Drawn]
    marks: list[Drawn]
    ticks: list[Drawn]


def draw_plot(histogram: Histogram, marks: Sequence[Mark], above_ns: int) -> Plot:
    """Place the parts. Bars from `above_ns` on have a colour of their own."""
    axis = span_axis(histogram, marks)
    # A mark's line begins below the labels of the marks to its right, and crosses none of them.
    rightmost_first = sorted(marks, key=lambda mark: -mark.at_ns)
    bars = group_bars(histogram, axis)
    most = max((bar.count for bar in bars), default=1)
    top = len(marks) * LABEL_ROW_HEIGHT
    bottom = top + PLOT_HEIGHT
    return Plot(
        height=bottom + TICK_ROW_HEIGHT,
        bottom=bottom,
        counts=list(_count_lines(most, top)),
        bars=[_drawn_bar(bar, axis, most, bottom, bar.low_ns >= above_ns) for bar in bars],
        marks=[_drawn_mark(mark, axis, row) for row, mark in enumerate(rightmost_first)],
        ticks=[_tick(tick, axis, bottom) for tick in axis.ticks()],
    )


def _bar(group: int, together: int, count: int) -> Bar:
    """Make a group's bar. Group 0 is bucket 0 alone; the others begin at the edges of octaves."""
    first, last = (0, 0) if group == 0 else ((group - 1) * together + 1, group * together)
    return Bar(bounds_ns(first)[0], bounds_ns(min(last, BUCKETS - 1))[1], count)


def _height(count: int, most: int) -> float:
    return PLOT_HEIGHT * math.log1p(count) / math.log1p(most)


def _drawn_bar(bar: Bar, axis: Axis, most: int, bottom: int, above: bool) -> Drawn:
    left, right = axis.percent(bar.low_ns), axis.percent(bar.high_ns)
    tall = _height(bar.count, most)
    span = f"{format_duration(round(bar.low_ns / NS_PER_US))} to {format_duration(round(bar.high_ns / NS_PER_US))}"
    return Drawn(
        x=f"{left:.2f}%",
        y=f"{bottom - tall:.1f}",
        classes="above" if above else "bar",
        width=f"{max(right - left - 0.12, 0.25):.2f}%",
        height=f"{tall:.1f}",
        text=f"{span}: {format_number(bar.count)}",
    )


def _count_lines(most: int, top: int) -> Iterator[Drawn]:
    decade = 1
    while decade <= most:
        yield Drawn("-6", f"{top + PLOT_HEIGHT - _height(decade, most):.1f}", text=format_number(decade))
        decade *= 10


def _drawn_mark(mark: Mark, axis: Axis, row: int) -> Drawn:
    at = axis.percent(mark.at_ns)
    before = at > LAST_PERCENT / 2
    return Drawn(
        x=f"{at:.2f}%",
        y=str(row * LABEL_ROW_HEIGHT),
        classes="before" if before else "after",
        text=mark.label,
        shift="-5" if before else "5",
    )


def _tick(at_ns: int, axis: Axis, bottom: int) -> Drawn:
    decade = str(at_ns).strip("0") == "1"
    return Drawn(
        x=f"{axis.percent(at_ns):.2f}%",
        y=str(bottom + 16),
        classes="tick" if decade else "tick between",
        text=format_duration(at_ns / NS_PER_US),
    )
