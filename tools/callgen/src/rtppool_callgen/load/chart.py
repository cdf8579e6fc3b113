"""A load test as one picture, in SVG: round trips with their limits, active calls, late packets by cause. Pure.

Round trips lie far below their limits and both matter, so that axis is logarithmic; so is that of late packets, with
a row for none below. The colours follow the reader's light or dark setting, and each line is named at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree as ET

from rtppool_callgen.load.windows import LoadWindow

WIDTH, LEFT, RIGHT = 960, 96, 118
TOP, TITLE_ROW, GAP = 112, 26, 46
SENTENCE_CHARACTERS, SENTENCE_ROWS = 130, 3
HEIGHTS = (250, 110, 150)
NAMES_APART = 13
TIME_TICKS = 8
_ROUND_STEPS = (1, 2, 5)
_TITLES = {"NothingMeasured": "Nothing measured"}

_LIGHT = {
    "p50": "#1b7f79", "p95": "#2f6fc4", "p99": "#8250df", "max": "#57606a", "calls": "#2f6fc4", "aim": "#57606a",
    "source": "#9a6700", "relay": "#2f6fc4", "echo": "#8250df", "bound": "#c62828",
    "met": "#1a7f37", "violated": "#c62828", "other": "#6b5300",
}  # fmt: skip
_DARK = {
    "p50": "#4fc3bb", "p95": "#6ea8f0", "p99": "#b795f5", "max": "#9aa4b0", "calls": "#6ea8f0", "aim": "#9aa4b0",
    "source": "#e0b040", "relay": "#6ea8f0", "echo": "#b795f5", "bound": "#ff7b72",
    "met": "#4cc065", "violated": "#ff7b72", "other": "#e0b040",
}  # fmt: skip


def _painted(colours: Mapping[str, str]) -> str:
    """A colour for the lines and the words of each kind."""
    return "".join(f".{kind}{{stroke:{colour}}}text.{kind}{{fill:{colour}}}" for kind, colour in colours.items())


STYLE = (
    "text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#1c2128;stroke:none!important}.title{font-size:16px}"
    ".title,.name{font-weight:600}.name{font-size:13px}.limit{stroke-dasharray:5 4}"
    ".line{fill:none;stroke-width:2}.thin{stroke-width:1.3;stroke-dasharray:1 3;stroke-linecap:round}"
    ".ground{fill:#ffffff}text.soft{fill:#57606a}.axis{stroke:#8c959f}.grid{stroke:#d6dbe1}"
    f"{_painted(_LIGHT)}"
    "@media(prefers-color-scheme:dark){text{fill:#e6eaf0}.ground{fill:#0e1116}text.soft{fill:#9aa4b0}"
    f".axis{{stroke:#6e7681}}.grid{{stroke:#262d36}}{_painted(_DARK)}}}"
)


@dataclass(frozen=True, slots=True)
class ChartFacts:
    """What stands in the head: the verdict, and on what it was measured. `limits` are the relay's, as in `/sla`."""

    result: str
    sentence: str
    subtitle: str
    concurrent: int
    total_seconds: float
    limits: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Panel:
    """Where a panel is, and how its values become heights. `place` is 0 at the bottom, 1 at the top."""

    top: float
    height: float
    seconds: float
    place: Callable[[float], float]

    def x(self, at_seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, at_seconds / self.seconds)

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - min(1.0, max(0.0, self.place(value))))


@dataclass(frozen=True, slots=True)
class _Line:
    """A curve and the name at its end. None: not measured, a gap. `kind` is its colour, `look` how it is drawn."""

    name: str
    kind: str
    look: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class _End:
    """Where a line's name stands."""

    y: float
    name: str
    kind: str


def load_chart(windows: Sequence[LoadWindow], facts: ChartFacts) -> str:
    """The whole picture. Without windows the panels are empty, and the sentence says why."""
    # The last packets are judged after the last call.
    facts = replace(facts, total_seconds=max([facts.total_seconds, *(window.at_seconds for window in windows)]))
    height = TOP + sum(HEIGHTS) + TITLE_ROW * len(HEIGHTS) + GAP * len(HEIGHTS)
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "width": str(WIDTH),
            "height": str(height),
            "role": "img",
            "aria-label": _printable(f"Load test: {facts.sentence}"),
        },
    )
    ET.SubElement(svg, "style").text = STYLE
    ET.SubElement(svg, "rect", {"class": "ground", "width": str(WIDTH), "height": str(height)})
    svg.extend(_head(facts))
    top = TOP
    for panel_height, panel in zip(HEIGHTS, (_round_trips, _active_calls, _late_packets), strict=True):
        svg.extend(panel(windows, facts, top + TITLE_ROW, panel_height))
        top += TITLE_ROW + panel_height + GAP
    return ET.tostring(svg, encoding="unicode") + "\n"


def _head(facts: ChartFacts) -> Iterator[ET.Element]:
    colour = {"Met": "met", "Violated": "violated"}.get(facts.result, "other")
    yield _text(_TITLES.get(facts.result, facts.result), 24, 30, f"title {colour}")
    lines = _wrapped(facts.sentence, SENTENCE_CHARACTERS)
    if len(lines) > SENTENCE_ROWS:
        lines = [*lines[: SENTENCE_ROWS - 1], lines[SENTENCE_ROWS - 1] + " …"]
    for row, line in enumerate(lines):
        yield _text(line, 24, 50 + 16 * row)
    yield _text(facts.subtitle, 24, 50 + 16 * len(lines), "soft")


def _round_trips(windows: Sequence[LoadWindow], facts: ChartFacts, top: float, height: float) -> Iterator[ET.Element]:
    figures = {
        "p50": [window.p50_microseconds for window in windows],
        "p95": [window.p95_microseconds for window in windows],
        "p99": [window.p99_microseconds for window in windows],
        "max": [window.max_microseconds for window in windows],
    }
    limits = list(_limits(windows, facts.limits))
    seen: list[float] = [value for values in figures.values() for value in values if value]
    seen += [value for line in limits for _, value in line.points if value]
    low, high = (min(seen) * 0.7, max(seen) * 1.5) if seen else (100.0, 10_000.0)
    panel = _Panel(top, height, facts.total_seconds, lambda us: math.log(max(us, low) / low) / math.log(high / low))
    yield from _frame(panel, f"Round trip relay - echo - relay{_over(facts)}", "ms, logarithmic")
    yield from _levels(panel, [(tick, _milliseconds(tick)) for tick in _decades(low, high, _ROUND_STEPS)])
    lines = [_Line(name, name, "line", _points(windows, values)) for name, values in figures.items() if name != "max"]
    yield from _lines(panel, [_Line("max", "max", "line thin", _points(windows, figures["max"])), *lines, *limits])


def _active_calls(windows: Sequence[LoadWindow], facts: ChartFacts, top: float, height: float) -> Iterator[ET.Element]:
    most = max([facts.concurrent, *(window.active_calls for window in windows)])
    high = most * 1.15
    panel = _Panel(top, height, facts.total_seconds, lambda calls: calls / high)
    yield from _frame(panel, "Active calls", "calls")
    step = _round_step(most / 4)
    yield from _levels(panel, [(tick, str(tick)) for tick in range(0, int(high) + 1, step)])
    aim = [(0.0, float(facts.concurrent)), (facts.total_seconds, float(facts.concurrent))]
    calls = _points(windows, [window.active_calls for window in windows])
    yield from _lines(panel, [_Line("asked for", "aim", "line limit", aim), _Line("active", "calls", "line", calls)])


def _late_packets(windows: Sequence[LoadWindow], facts: ChartFacts, top: float, height: float) -> Iterator[ET.Element]:
    figures = {
        "source": [window.late_ppm(window.late_source) for window in windows],
        "relay": [window.late_ppm(window.late_relay) for window in windows],
        "echo": [window.late_ppm(window.late_echo) for window in windows],
    }
    limit = (facts.limits or {}).get("maxLatePpm")
    lines = [_Line(name, name, "line", _points(windows, values)) for name, values in figures.items()]
    if isinstance(limit, int):
        bound = [(0.0, float(limit)), (facts.total_seconds, float(limit))]
        lines.append(_Line("limit relay+echo", "bound", "line limit", bound))
    seen = [value for line in lines for _, value in line.points if value]
    decades = max(3, math.ceil(math.log10(max(seen, default=1000))))
    # None at all is a row of its own, below one in a million.
    panel = _Panel(
        top, height, facts.total_seconds, lambda ppm: 0.0 if ppm < 1 else (1 + math.log10(ppm)) / (1 + decades)
    )
    yield from _frame(panel, f"Late packets by cause{_over(facts)}", "ppm, logarithmic", last=True)
    yield from _levels(panel, [(0, "none"), *((10**power, f"{10**power:,}") for power in range(decades + 1))])
    yield from _lines(panel, lines)


def _over(facts: ChartFacts) -> str:
    seconds = (facts.limits or {}).get("windowSeconds")
    return f", each point over the {seconds} s before" if isinstance(seconds, int) else ""


def _limits(windows: Sequence[LoadWindow], limits: Mapping[str, Any] | None) -> Iterator[_Line]:
    """The limits that held for each window's tier, as steps."""
    tiers = {tier.get("upToCalls"): tier for tier in (limits or {}).get("tiers", ()) if isinstance(tier, Mapping)}
    for name in ("p50", "p95", "p99"):
        held = [tiers.get(window.tier_up_to_calls, {}).get(f"{name}Microseconds") for window in windows]
        if any(held):
            yield _Line(f"{name} limit", name, "line limit", _points(windows, held))
    longest = (limits or {}).get("maxRttMicroseconds")
    if isinstance(longest, int):
        yield _Line("max limit", "bound", "line limit", _points(windows, [longest] * len(windows)))


def _points(windows: Sequence[LoadWindow], values: Iterable[float | None]) -> list[tuple[float, float | None]]:
    return [(window.at_seconds, value) for window, value in zip(windows, values, strict=True)]


def _frame(panel: _Panel, name: str, unit: str, *, last: bool = False) -> Iterator[ET.Element]:
    bottom, middle = panel.top + panel.height, panel.top + panel.height / 2
    yield _text(name, LEFT, panel.top - 9, "name")
    axis = _text(unit, 18, middle, "soft", anchor="middle")
    axis.set("transform", f"rotate(-90 18 {middle:.1f})")
    yield axis
    step = _round_step(panel.seconds / TIME_TICKS)
    for at in range(0, int(panel.seconds) + 1, step):
        x = panel.x(at)
        yield _stroke(x, bottom, x, bottom + 4, "axis")
        yield _text(str(at), x, bottom + 17, "soft", anchor="middle")
    yield _stroke(LEFT, bottom, WIDTH - RIGHT, bottom, "axis")
    if last:
        yield _text("seconds since the load began", (LEFT + WIDTH - RIGHT) / 2, bottom + 35, "soft", anchor="middle")


def _levels(panel: _Panel, ticks: Iterable[tuple[float, str]]) -> Iterator[ET.Element]:
    for value, label in ticks:
        y = panel.y(value)
        yield _stroke(LEFT, y, WIDTH - RIGHT, y, "grid")
        yield _text(label, LEFT - 8, y + 4, "soft", anchor="end")


def _lines(panel: _Panel, lines: Sequence[_Line]) -> Iterator[ET.Element]:
    ends: list[_End] = []
    for line in lines:
        for piece in _pieces(line.points):
            points = [f"{panel.x(at):.1f},{panel.y(value):.1f}" for at, value in piece]
            if len(points) == 1:
                points.append(f"{panel.x(piece[0][0]) + 2:.1f},{panel.y(piece[0][1]):.1f}")
            yield ET.Element("polyline", {"class": f"{line.look} {line.kind}", "points": " ".join(points)})
        values = [value for _, value in line.points if value is not None]
        if values:
            ends.append(_End(panel.y(values[-1]), line.name, line.kind))
    for end in _apart(ends, panel.top, panel.top + panel.height):
        yield _text(end.name, WIDTH - RIGHT + 8, end.y + 4, end.kind)


def _pieces(points: Iterable[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    """Unbroken runs of what was measured."""
    piece: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            piece.append((at, value))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _apart(ends: Iterable[_End], top: float, bottom: float) -> list[_End]:
    """Names moved so far that none lies on another, in the order of their lines."""
    placed: list[_End] = []
    for end in sorted(ends, key=lambda end: end.y):
        lowest = placed[-1].y + NAMES_APART if placed else top
        placed.append(replace(end, y=max(end.y, lowest)))
    # From the bottom up again, where they did not fit.
    highest = bottom
    for at in range(len(placed) - 1, -1, -1):
        placed[at] = replace(placed[at], y=min(placed[at].y, highest))
        highest = placed[at].y - NAMES_APART
    return placed


def _decades(low: float, high: float, steps: Sequence[int]) -> list[int]:
    powers = range(math.floor(math.log10(max(low, 1))), math.ceil(math.log10(high)) + 1)
    return [step * 10**power for power in powers for step in steps if low <= step * 10**power <= high]


def _round_step(at_least: float) -> int:
    """1, 2 or 5 times a power of ten."""
    power = 1
    while True:
        for step in _ROUND_STEPS:
            if step * power >= at_least:
                return step * power
        power *= 10


def _milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:g}"


def _wrapped(sentence: str, characters: int) -> list[str]:
    lines: list[str] = [""]
    for word in sentence.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > characters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _stroke(x1: float, y1: float, x2: float, y2: float, kind: str) -> ET.Element:
    places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return ET.Element("line", {"class": kind, **{name: f"{value:.1f}" for name, value in places.items()}})


def _text(words: str, x: float, y: float, kind: str = "", anchor: str = "start") -> ET.Element:
    text = ET.Element("text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind})
    text.text = _printable(words)
    return text


def _printable(words: str) -> str:
    """XML has no place for control characters, and a sentence may quote another program's last words."""
    return "".join(character if character.isprintable() else " " for character in words)
