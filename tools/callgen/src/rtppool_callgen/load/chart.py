"""A load test as one SVG picture: round trips with their limits, active calls, late packets by cause.

Round trips lie far below their limits and both matter, so that axis is logarithmic. So is the axis of late packets,
with a level of its own for none. Windows that violated the SLA are shaded.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtppool_callgen.load.windows import LoadWindow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, HEIGHT_INCHES = 10.5, 9.0
SENTENCE_CHARACTERS, MAX_SENTENCE_LINES = 130, 3
WINDOW_SECONDS = 1.0
COLOURS = {
    "p50": "#1b7f79", "p95": "#2f6fc4", "p99": "#8250df", "max": "#57606a", "active": "#2f6fc4",
    "asked for": "#57606a", "source": "#9a6700", "relay": "#2f6fc4", "echo": "#8250df",
    "host": "#57606a", "judged": "#c62828", "limit": "#c62828",
}  # fmt: skip
RESULT_COLOURS = {"Met": "#1a7f37", "Violated": "#c62828"}
OTHER_RESULT_COLOUR = "#6b5300"
VIOLATED_COLOUR = "#fbe3e1"
SOFT_COLOUR = "#57606a"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "rtp-pool",  # the same figures give the same file
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e3e7eb",
    "legend.frameon": False,
}
_TITLES = {"NothingMeasured": "Nothing measured"}

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ChartFacts:
    """The head of the chart: the verdict, and the machine. `limits` are the relay's, as in `/sla`."""

    result: str
    sentence: str
    subtitle: str
    concurrent: int
    total_seconds: float
    limits: Mapping[str, Any] | None


def load_chart(windows: Sequence[LoadWindow], facts: ChartFacts) -> str:
    """Return the SVG document. Without windows the panels are empty, and the sentence has the reason."""
    # Imported here: it takes longer than all other modules, and is needed once, at the end of a load.
    from matplotlib import rc_context  # noqa: PLC0415

    picture = io.StringIO()
    with rc_context(STYLE), warnings.catch_warnings():
        # A quoted error may have characters that the measuring font lacks. The viewer has its own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = load_figure(windows, facts)
        metadata = {"Title": printable(f"Load test: {facts.sentence}"), "Date": None}
        figure.savefig(picture, format="svg", metadata=metadata)
    return picture.getvalue()


def load_figure(windows: Sequence[LoadWindow], facts: ChartFacts) -> Figure:
    """Return the figure with its three panels."""
    from matplotlib.figure import Figure  # noqa: PLC0415 as above

    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), facecolor="white")
    lines = textwrap.wrap(
        printable(facts.sentence), SENTENCE_CHARACTERS, max_lines=MAX_SENTENCE_LINES, placeholder=" …"
    )
    title, colour = _TITLES.get(facts.result, facts.result), RESULT_COLOURS.get(facts.result, OTHER_RESULT_COLOUR)
    heads = [(title, colour, 14.0), *((line, "black", 9.0) for line in lines), (facts.subtitle, SOFT_COLOUR, 9.0)]
    for row, (text, text_colour, size) in enumerate(heads):
        figure.text(0.02, 0.965 - 0.02 * row, printable(text), color=text_colour, size=size, parse_math=False)
    margins = {"left": 0.09, "right": 0.84, "top": 0.85, "bottom": 0.06}
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(5, 2, 3), gridspec_kw=margins)
    round_trips, active_calls, late_packets = panels
    _draw_round_trips(round_trips, windows, facts)
    _draw_active_calls(active_calls, windows, facts)
    _draw_late_packets(late_packets, windows, facts)
    for axes in panels:
        violated = [(window.at_seconds - WINDOW_SECONDS, WINDOW_SECONDS) for window in windows if _is_violated(window)]
        if violated:
            across = axes.get_xaxis_transform()
            axes.broken_barh(violated, (0, 1), transform=across, color=VIOLATED_COLOUR, zorder=0, label="SLA violated")
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1.04), markerscale=0)
    # The last packets are judged after the last call.
    end_seconds = max([facts.total_seconds, *(window.at_seconds for window in windows)])
    late_packets.set_xlim(0, end_seconds)
    late_packets.set_xlabel("seconds since the load began")
    return figure


def printable(text: str) -> str:
    """Replace control characters: XML has no place for them, and a sentence may quote another program."""
    return "".join(character if character.isprintable() else " " for character in text)


def _is_violated(window: LoadWindow) -> bool:
    return window.result == "Violated"


def _draw_round_trips(axes: Axes, windows: Sequence[LoadWindow], facts: ChartFacts) -> None:
    axes.set_title(f"Round trip relay - echo - relay{_over(facts)}")
    axes.set_ylabel("ms, logarithmic")
    axes.set_yscale("log", subs=(2, 5))
    axes.yaxis.set_major_formatter(lambda microseconds, _position: f"{microseconds / 1000:g}")
    axes.yaxis.set_minor_formatter(axes.yaxis.get_major_formatter())
    _draw(axes, windows, "p50", [window.p50_microseconds for window in windows])
    _draw(axes, windows, "p95", [window.p95_microseconds for window in windows])
    _draw(axes, windows, "p99", [window.p99_microseconds for window in windows])
    _draw(axes, windows, "max", [window.max_microseconds for window in windows], style=":")
    for name, values in _limits(windows, facts.limits or {}):
        _draw(axes, windows, f"{name} limit", values, COLOURS["limit" if name == "max" else name], style="--")


def _draw_active_calls(axes: Axes, windows: Sequence[LoadWindow], facts: ChartFacts) -> None:
    axes.set_title("Active calls")
    axes.set_ylabel("calls")
    axes.axhline(facts.concurrent, color=COLOURS["asked for"], linestyle="--", label="asked for")
    _draw(axes, windows, "active", [window.active_calls for window in windows])
    axes.set_ylim(0, 1.15 * max([facts.concurrent, *(window.active_calls for window in windows)]))


def _draw_late_packets(axes: Axes, windows: Sequence[LoadWindow], facts: ChartFacts) -> None:
    axes.set_title(f"Late packets by cause{_over(facts)}")
    axes.set_ylabel("ppm, logarithmic")
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter(lambda ppm, _position: f"{ppm:,.0f}" if ppm else "none")
    causes: dict[str, Values] = {
        "source": [window.late_ppm(window.late_source) for window in windows],
        "relay": [window.late_ppm(window.late_relay) for window in windows],
        "echo": [window.late_ppm(window.late_echo) for window in windows],
        "host": [None if window.late_host is None else window.late_ppm(window.late_host) for window in windows],
        "judged": [window.late_ppm(window.late_judged) for window in windows],
    }
    for name, values in causes.items():
        _draw(axes, windows, name, values, style=":" if name == "judged" else "-")
    limit = (facts.limits or {}).get("maxLatePpm")
    if isinstance(limit, int):
        axes.axhline(limit, color=COLOURS["limit"], linestyle="--", label="limit judged")
    highest = max([1000, *(value for values in causes.values() for value in values if value)])
    axes.set_ylim(-0.2, 10 ** math.ceil(math.log10(highest)) * 1.5)


def _draw(
    axes: Axes,
    windows: Sequence[LoadWindow],
    name: str,
    values: Values,
    colour: str | None = None,
    style: str = "-",
) -> None:
    """Draw a curve over the windows' times. None is not measured and leaves a gap; a lone point gets a dot."""
    if not any(value is not None for value in values):
        return
    padded = [None, *values, None]
    lone = [at for at in range(len(values)) if padded[at] is None and padded[at + 2] is None]
    times = [window.at_seconds for window in windows]
    heights = [math.nan if value is None else value for value in values]
    axes.plot(
        times,
        heights,
        label=name,
        color=colour or COLOURS[name],
        linestyle=style,
        linewidth=1.6,
        marker=".",
        markevery=lone,
    )


def _over(facts: ChartFacts) -> str:
    seconds = (facts.limits or {}).get("windowSeconds")
    return f", each point over the {seconds} s before" if isinstance(seconds, int) else ""


def _limits(windows: Sequence[LoadWindow], limits: Mapping[str, Any]) -> Iterator[tuple[str, Values]]:
    """Yield the limits that held for the tier of each window."""
    tiers = {tier.get("upToCalls"): tier for tier in limits.get("tiers", ()) if isinstance(tier, Mapping)}
    for name in ("p50", "p95", "p99"):
        yield name, [tiers.get(window.tier_up_to_calls, {}).get(f"{name}Microseconds") for window in windows]
    max_microseconds = limits.get("maxRttMicroseconds")
    if isinstance(max_microseconds, int):
        yield "max", [max_microseconds] * len(windows)
