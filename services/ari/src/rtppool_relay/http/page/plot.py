"""A histogram of round trips as inline SVG, with the limits marked.

Both axes are logarithmic: round trips of interest lie between 50 µs and 50 ms, and the few slow ones matter most.
Horizontal positions are percentages, so that the plot is as wide as the page and its text keeps its size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from rtppool_core.statistics.histogram import BUCKETS, MIN_NS, SUB_BUCKET_BITS, Histogram, bounds_ns, bucket_of
from rtppool_core.units import NS_PER_US
from rtppool_relay.http.page.markup import element
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


def draw_plot(histogram: Histogram, marks: Sequence[Mark], above_ns: int, description: str) -> ET.Element:
    """Draw the plot. Bars from `above_ns` on have a colour of their own."""
    axis = span_axis(histogram, marks)
    # A mark's line begins below the labels of the marks to its right, and crosses none of them.
    rightmost_first = sorted(marks, key=lambda mark: -mark.at_ns)
    bars = group_bars(histogram, axis)
    most = max((bar.count for bar in bars), default=1)
    top = len(marks) * LABEL_ROW_HEIGHT
    height = top + PLOT_HEIGHT
    parts = [
        *_count_lines(most, top),
        *(_bar_element(bar, axis, most, height, bar.low_ns >= above_ns) for bar in bars),
        *(part for row, mark in enumerate(rightmost_first) for part in _mark_elements(mark, axis, row, height)),
        element("line", x1="0", x2="100%", y1=str(height), y2=str(height), class_="axis"),
        *(_tick(tick, axis, height) for tick in axis.ticks()),
    ]
    return element(
        "svg",
        *parts,
        class_="plot",
        width="100%",
        height=str(height + TICK_ROW_HEIGHT),
        role="img",
        aria_label=description,
    )


def _bar(group: int, together: int, count: int) -> Bar:
    """Make a group's bar. Group 0 is bucket 0 alone; the others begin at the edges of octaves."""
    first, last = (0, 0) if group == 0 else ((group - 1) * together + 1, group * together)
    return Bar(bounds_ns(first)[0], bounds_ns(min(last, BUCKETS - 1))[1], count)


def _height(count: int, most: int) -> float:
    return PLOT_HEIGHT * math.log1p(count) / math.log1p(most)


def _bar_element(bar: Bar, axis: Axis, most: int, bottom: int, above: bool) -> ET.Element:
    left, right = axis.percent(bar.low_ns), axis.percent(bar.high_ns)
    tall = _height(bar.count, most)
    span = f"{format_duration(round(bar.low_ns / NS_PER_US))} to {format_duration(round(bar.high_ns / NS_PER_US))}"
    return element(
        "rect",
        element("title", f"{span}: {format_number(bar.count)}"),
        x=f"{left:.2f}%",
        width=f"{max(right - left - 0.12, 0.25):.2f}%",
        y=f"{bottom - tall:.1f}",
        height=f"{tall:.1f}",
        class_="above" if above else "bar",
    )


def _count_lines(most: int, top: int) -> Iterator[ET.Element]:
    decade = 1
    while decade <= most:
        y = f"{top + PLOT_HEIGHT - _height(decade, most):.1f}"
        yield element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid")
        yield element("text", format_number(decade), x="-6", y=y, dy="4", class_="count")
        decade *= 10


def _mark_elements(mark: Mark, axis: Axis, row: int, bottom: int) -> Iterator[ET.Element]:
    at = axis.percent(mark.at_ns)
    x, y = f"{at:.2f}%", row * LABEL_ROW_HEIGHT
    before = at > LAST_PERCENT / 2
    yield element("line", x1=x, x2=x, y1=str(y + 2), y2=str(bottom), class_="limit")
    yield element(
        "text", mark.label, x=x, dx="-5" if before else "5", y=str(y + 13), class_="before" if before else "after"
    )


def _tick(at_ns: int, axis: Axis, bottom: int) -> ET.Element:
    label = format_duration(at_ns / NS_PER_US)
    decade = str(at_ns).strip("0") == "1"
    x, y = f"{axis.percent(at_ns):.2f}%", str(bottom + 16)
    return element("text", label, x=x, y=y, class_="tick" if decade else "tick between")
