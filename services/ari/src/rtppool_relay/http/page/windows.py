"""The page's figures of the window: round trips as a plot, late packets by cause, and every figure.

Calls and probe have a column each and are never added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from msgspec import structs

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import WindowReport, Windows
from rtppool_core.units import NS_PER_US, parts_per_million
from rtppool_relay.http.page.markup import BAR_HEIGHT, Node, element, moment, not_measured, number, section, table
from rtppool_relay.http.page.plot import Mark, draw_plot
from rtppool_relay.http.sentences import format_duration, format_number, format_share
from rtppool_relay.http.sla_document import window_figures
from rtppool_relay.http.snapshot import Snapshot

PERCENTILES = {"P50": "median", "P95": "95th percentile", "P99": "99th percentile", "Max": "longest"}
JSON_NAMES = {field.name: field.encode_name for field in structs.fields(WindowReport)}
# The order of the rows. A figure without a name here follows them, spelled out.
FIGURE_NAMES = {
    "packets": "Packets sent to the echo",
    "answered": "Answered",
    "lost": "Lost between relay and echo",
    "lossPpm": "Lost, share",
    "directedLoss.toEcho": "Lost on the way to the echo",
    "directedLoss.fromEcho": "Lost on the way back",
    "directedLoss.undetermined": "Lost, direction not known",
    "latePpm": "Late by relay or echo, share",
    **{
        (short.lower() if name == "round_trip" else JSON_NAMES[name] + short) + "Microseconds": (
            f"{times.label}, {percentile}"
        )
        for name, times in TIMES.items()
        for short, percentile in PERCENTILES.items()
    },
    "pdvMicroseconds": "Delay variation of the round trip (RFC 5481)",
    "sourcePdvMicroseconds": "Delay variation from Asterisk (RFC 5481)",
    "jitterMicroseconds": "Jitter at the echo's side (RFC 3550), mean",
    "jitterMaxMicroseconds": "Jitter at the echo's side (RFC 3550), largest",
    "sourceJitterMicroseconds": "Jitter from Asterisk (RFC 3550), mean",
    "sourceJitterMaxMicroseconds": "Jitter from Asterisk (RFC 3550), largest",
    **{JSON_NAMES[name]: count.label for name, count in COUNTS.items()},
    "estimatedRFactor": "R factor (G.107), an estimate",
    "estimatedMos": "MOS (G.107), an estimate",
    "skewPpm": "Skew of the source's clock",
}
# Late packets have a table of their own; the window's times are `<time>` elements.
SHOWN_ELSEWHERE = {"late", "startUnixSeconds", "endUnixSeconds"}
CAUSES = (
    ("source", "Source: arrived late from Asterisk", "not judged"),
    ("relay", "Relay: delayed in this relay", "judged"),
    ("echo", "Echo: delayed in the echo, or in the network to and from it", "judged"),
)
MARKED = {"p50Microseconds": "p50", "p95Microseconds": "p95", "p99Microseconds": "p99", "maxRttMicroseconds": "longest"}


def round_trips_section(snapshot: Snapshot) -> Iterator[ET.Element]:
    """Plot the round trips of calls, or those of the probe where no call was measured."""
    for histogram, subject in (
        (snapshot.calls.round_trip, "calls"),
        (snapshot.probe.round_trip, "the probe, never judged"),
    ):
        if histogram.count:
            marks = [
                Mark(f"{MARKED[check.limit]} {format_duration(check.accepted)}", check.accepted * NS_PER_US)
                for check in snapshot.checks
                if check.limit in MARKED
            ]
            count = format_number(histogram.count)
            description = f"Histogram of {count} round trips of {subject}, with the limits marked"
            max_rtt_ns = snapshot.limits.max_rtt_microseconds * NS_PER_US
            yield section(
                f"Round trips of {subject}",
                element("div", draw_plot(histogram, marks, max_rtt_ns, description), class_="frame"),
                element(
                    "p",
                    "Packets by round trip between relay and echo, both axes logarithmic. Dashed: the limits.",
                    class_="note",
                ),
            )
            return


def late_section(windows: Windows, limits: SlaLimits) -> ET.Element:
    """Show late packets by cause."""
    rows = (
        element(
            "tr",
            element("th", element("span", name, class_=f"cause {cause}"), element("small", judged), scope="row"),
            *(element("td", *_late_packets(window, cause)) for window in (windows.calls, windows.probe)),
        )
        for cause, name, judged in CAUSES
    )
    caption = element(
        "caption",
        "Late: left for Asterisk more than ",
        number(limits.late_threshold_microseconds, format_duration(limits.late_threshold_microseconds)),
        " behind the RTP clock. The largest part of the delay determines the cause.",
    )
    bar = [] if windows.calls is None else [_late_bar(windows.calls)]
    return section("Late packets, by cause", *bar, table(("Cause", "Calls", "Probe"), rows, caption))


def figures_section(snapshot: Snapshot) -> ET.Element:
    """Show every figure of both windows."""
    both = (snapshot.report.windows.calls, snapshot.report.windows.probe)
    held = [
        _flatten(window_figures(window, figures)) if window is not None else {}
        for window, figures in zip(both, (snapshot.calls, snapshot.probe), strict=True)
    ]
    present = {name for figures in held for name in figures}
    names = [name for name in FIGURE_NAMES if name in present] + sorted(present - set(FIGURE_NAMES))
    rows = [
        _row(
            "Window from", *(not_measured() if window is None else moment(window.start_unix_seconds) for window in both)
        ),
        _row("Window to", *(not_measured() if window is None else moment(window.end_unix_seconds) for window in both)),
        *(
            _row(FIGURE_NAMES.get(name) or spell_out(name), *(_figure(name, figures.get(name)) for figures in held))
            for name in names
        ),
    ]
    caption = element("caption", "Percentiles come from buckets at most 1.6 % wide. The longest is exact.")
    return section("Figures of the window", table(("Figure", "Calls", "Probe"), rows, caption))


def spell_out(name: str) -> str:
    """Turn the field `burst.lossDensityPpm` into `Burst loss density`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name.replace(".", " "))
    return words.removesuffix(" microseconds").removesuffix(" ppm").removesuffix(" ns").capitalize()


def _row(name: str, *cells: Node) -> ET.Element:
    return element("tr", element("th", name, scope="row"), *(element("td", cell) for cell in cells))


def _late_packets(window: WindowReport | None, cause: str) -> Iterator[Node]:
    if window is None:
        yield not_measured()
        return
    late = int(getattr(window.late, cause))
    yield number(late, format_number(late))
    share = parts_per_million(late, window.packets)
    if late and share is not None:
        yield " "
        yield element("span", f"({format_share(share)})")


def _late_bar(window: WindowReport) -> ET.Element:
    """Draw each cause's part of all late packets; an empty track when none was late."""
    parts, left, late = [], 0.0, window.late.source + window.late.relay + window.late.echo
    for cause, _, _ in CAUSES:
        width = 100 * int(getattr(window.late, cause)) / late if late else 0.0
        if width:
            parts.append(
                element("rect", x=f"{left:.2f}%", width=f"{width:.2f}%", height=str(BAR_HEIGHT), class_=f"part {cause}")
            )
        left += width
    track = element("rect", width="100%", height=str(BAR_HEIGHT), rx="2", class_="track")
    description = f"{format_number(late)} late packets of calls by cause"
    return element("svg", track, *parts, width="100%", height=str(BAR_HEIGHT), role="img", aria_label=description)


def _flatten(figures: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Join the names of nested figures by dots, without `SHOWN_ELSEWHERE`."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{place}{name}.") if place or name not in SHOWN_ELSEWHERE else {}
        elif place or name not in SHOWN_ELSEWHERE:
            flat[place + name] = value
    return flat


def _figure(name: str, value: Any) -> Node:
    if value is None:
        return not_measured()
    text = format_figure(name, value)
    return number(value, text) if isinstance(value, int | float) and not isinstance(value, bool) else text


def format_figure(name: str, value: Any) -> str:
    """Format a figure in the unit that its name ends with: shares in percent, skew in ppm."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name.endswith("Microseconds"):
        return format_duration(value)
    if name.endswith("Ns"):
        return format_duration(value / NS_PER_US)
    if name.endswith("skewPpm"):
        return f"{format_number(value)} ppm"
    if name.endswith("Ppm"):
        return format_share(value)
    return format_number(value)
