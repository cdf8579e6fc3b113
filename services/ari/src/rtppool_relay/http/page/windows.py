"""The page's figures of the window: round trips as a plot, late packets by cause, and every figure. Pure.

Calls and probe stand side by side and are never added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import WindowReport, Windows, import_histogram
from rtppool_core.units import NS_PER_US
from rtppool_relay.figures.sla import PPM
from rtppool_relay.http.page.markup import Node, element, moment, not_measured, number, section, table
from rtppool_relay.http.page.plot import Mark, plot
from rtppool_relay.http.sentences import counted, duration, share
from rtppool_relay.http.sla_document import window_checks, window_figures

PERCENTILES = {"P50": "median", "P95": "95th percentile", "P99": "99th percentile", "Max": "longest"}
HISTOGRAMS = {
    "": "Round trip",
    "networkRoundTrip": "Round trip less the echo's own time",
    "echoResidence": "Inside the echo",
    "residence": "Inside the relay",
    "sourceVariation": "Variation of arrivals from Asterisk",
}
# In this order; a figure that has no name here comes last, spelled out.
FIGURE_NAMES = {
    "packets": "Packets sent to the echo",
    "answered": "Answered",
    "lost": "Lost between relay and echo",
    "lossPpm": "Lost, share",
    "directedLoss.toEcho": "Lost on the way to the echo",
    "directedLoss.fromEcho": "Lost on the way back",
    "directedLoss.undetermined": "Lost, way not known",
    "tooLate": "Answered after 2 s, counted as lost",
    "latePpm": "Late by relay or echo, share",
    **{
        (f"{field}{short}" if field else short.lower()) + "Microseconds": f"{name}, {percentile}"
        for field, name in HISTOGRAMS.items()
        for short, percentile in PERCENTILES.items()
    },
    "pdvMicroseconds": "Delay variation of the round trip (RFC 5481)",
    "sourcePdvMicroseconds": "Delay variation from Asterisk (RFC 5481)",
    "jitterMicroseconds": "Jitter at the echo's side (RFC 3550)",
    "sourceJitterMicroseconds": "Jitter from Asterisk (RFC 3550)",
    "sourceLost": "Missing from Asterisk",
    "reordered": "Reordered",
    "duplicates": "Duplicates",
    "estimatedRFactor": "R factor (G.107), an estimate",
    "estimatedMos": "MOS (G.107), an estimate",
    "dscpChanged": "Answered with another DSCP than ours",
    "sourceDscpMismatches": "From Asterisk with another DSCP than ours",
    "skewPpm": "Skew of the source's clock",
}
# Shown in a table of their own, and as times.
APART = {"late", "startUnixSeconds", "endUnixSeconds"}
CAUSES = (
    ("source", "Source: came late from Asterisk", "not judged"),
    ("relay", "Relay: held in this relay", "judged"),
    ("echo", "Echo: in it, or in the network there and back", "judged"),
)
MARKED = {"p50Microseconds": "p50", "p95Microseconds": "p95", "p99Microseconds": "p99", "maxRttMicroseconds": "longest"}
BAR_HEIGHT = 12


def round_trips_section(windows: Windows, active_calls: int, limits: SlaLimits) -> Iterator[ET.Element]:
    """The round trips of calls, or of the probe where no call was measured; nothing where neither was."""
    for window, whose in ((windows.calls, "calls"), (windows.probe, "the probe, never judged")):
        if window is not None and window.round_trip is not None:
            marks = [
                Mark(f"{MARKED[check.limit]} {duration(check.accepted)}", check.accepted * NS_PER_US)
                for check in window_checks(None, active_calls, limits)
                if check.limit in MARKED
            ]
            histogram = import_histogram(window.round_trip)
            said = f"Histogram of {counted(histogram.count)} round trips of {whose}, with the limits marked"
            yield section(
                f"Round trips of {whose}",
                element("div", plot(histogram, marks, limits.max_rtt_microseconds * NS_PER_US, said), class_="frame"),
                element(
                    "p",
                    "Packets by round trip between relay and echo, both axes logarithmic. Dashed: the limits.",
                    class_="note",
                ),
            )
            return


def late_section(windows: Windows, limits: SlaLimits) -> ET.Element:
    """Late packets by whose milliseconds they are."""
    rows = (
        element(
            "tr",
            element("th", element("span", name, class_=f"whose {cause}"), element("small", judged), scope="row"),
            *(element("td", *_late_packets(window, cause)) for window in (windows.calls, windows.probe)),
        )
        for cause, name, judged in CAUSES
    )
    caption = element(
        "caption",
        "Late: left for Asterisk more than ",
        number(limits.late_threshold_microseconds, duration(limits.late_threshold_microseconds)),
        " behind the RTP clock. The largest part of the delay names the cause.",
    )
    bar = [] if windows.calls is None else [_late_bar(windows.calls)]
    return section("Late packets, by cause", *bar, table(("Whose milliseconds", "Calls", "Probe"), rows, caption))


def figures_section(windows: Windows) -> ET.Element:
    """Every figure of both windows."""
    both = (windows.calls, windows.probe)
    held = [_flat(window_figures(window)) if window is not None else {} for window in both]
    present = {name for figures in held for name in figures}
    names = [name for name in FIGURE_NAMES if name in present] + sorted(present - set(FIGURE_NAMES))
    rows = [
        _row(
            "Window from", *(not_measured() if window is None else moment(window.start_unix_seconds) for window in both)
        ),
        _row("Window to", *(not_measured() if window is None else moment(window.end_unix_seconds) for window in both)),
        *(
            _row(FIGURE_NAMES.get(name) or spelled(name), *(_figure(name, figures.get(name)) for figures in held))
            for name in names
        ),
    ]
    caption = element("caption", "Percentiles are read from buckets at most 1.6 % wide; the longest is exact.")
    return section("Figures of the window", table(("Figure", "Calls", "Probe"), rows, caption))


def spelled(name: str) -> str:
    """The field `burst.lossDensityPpm` as `Burst loss density`, for figures that have no name here."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name.replace(".", " "))
    return words.removesuffix(" microseconds").removesuffix(" ppm").removesuffix(" ns").capitalize()


def _row(name: str, *cells: Node) -> ET.Element:
    return element("tr", element("th", name, scope="row"), *(element("td", cell) for cell in cells))


def _late_packets(window: WindowReport | None, cause: str) -> Iterator[Node]:
    if window is None:
        yield not_measured()
        return
    late = int(getattr(window.late, cause))
    yield number(late, counted(late))
    if late:
        yield " "
        yield element("span", f"({share(round(late * PPM / window.packets))})")


def _late_bar(window: WindowReport) -> ET.Element:
    """The causes' parts of all late packets, side by side; empty when none was late."""
    parts, left, late = [], 0.0, window.late.source + window.late.relay + window.late.echo
    for cause, _, _ in CAUSES:
        width = 100 * int(getattr(window.late, cause)) / late if late else 0.0
        if width:
            parts.append(
                element("rect", x=f"{left:.2f}%", width=f"{width:.2f}%", height=str(BAR_HEIGHT), class_=f"part {cause}")
            )
        left += width
    track = element("rect", width="100%", height=str(BAR_HEIGHT), rx="2", class_="track")
    said = f"{counted(late)} late packets of calls by cause"
    return element("svg", track, *parts, width="100%", height=str(BAR_HEIGHT), role="img", aria_label=said)


def _flat(figures: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Nested figures under their names joined by dots; what has a table of its own is left out."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{place}{name}.") if place or name not in APART else {}
        elif place or name not in APART:
            flat[place + name] = value
    return flat


def _figure(name: str, value: Any) -> Node:
    if value is None:
        return not_measured()
    text = figure_text(name, value)
    return number(value, text) if isinstance(value, int | float) and not isinstance(value, bool) else text


def figure_text(name: str, value: Any) -> str:
    """A figure with its unit, which is at the end of its name; skew is the one that people know in ppm."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name.endswith("Microseconds"):
        return duration(value)
    if name.endswith("Ns"):
        return duration(value / NS_PER_US)
    if name.endswith("skewPpm"):
        return f"{counted(value)} ppm"
    if name.endswith("Ppm"):
        return share(value)
    return counted(value)
