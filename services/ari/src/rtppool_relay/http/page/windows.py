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
from rtppool_core.contract.report import HostReport, WindowReport, Windows
from rtppool_core.units import NS_PER_US, parts_per_million
from rtppool_relay.http.page.markup import BAR_HEIGHT, Node, element, moment, not_measured, number, section, table
from rtppool_relay.http.page.plot import Mark, draw_plot
from rtppool_relay.http.sentences import US_PER_MS, format_count, format_duration, format_number, format_share
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
    "latePpm": "Late and judged, share",
    "hostLatePpm": "Late by the host, share",
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
    "g711PacketMicroseconds": "Media in a G.711 packet",
    "estimatedRFactor": "R factor (G.107), an estimate",
    "estimatedMos": "MOS (G.107), an estimate",
    "skewPpm": "Skew of the source's clock",
    "skewClamped": "Skew of a source beyond 500 ppm, counted as 500 ppm",
}
# Late packets have a table of their own; the window's times are `<time>` elements.
SHOWN_ELSEWHERE = {"late", "startUnixSeconds", "endUnixSeconds"}
CAUSES = (
    ("source", "Source: arrived late from Asterisk"),
    ("relay", "Relay: delayed in this relay"),
    ("echo", "Echo: delayed in the echo, or in the network to and from it"),
    ("host", "Host: the machine took the processor away"),
)
HOST_ROWS = (
    ("heartbeat", "heartbeat_late_milliseconds", "Watched processors stood still"),
    ("steal", "stolen_milliseconds", "The hypervisor took processors"),
    ("runDelay", "run_delay_milliseconds", "The media process waited for a processor"),
    ("throttling", "throttled_milliseconds", "A CPU limit of this container held it back"),
    ("pressure", "pressure_milliseconds", "Some process waited for a processor"),
)
ECHO_WITNESSES = {
    "ThisMachine": "The echo runs on this machine, and the same witnesses cover it.",
    "Reported": "The echo reports the host time of its own machine.",
    "NotReported": "The echo reports no host time of its machine, so its stalls count as echo.",
}
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


def late_section(windows: Windows, limits: SlaLimits, host: HostReport | None) -> ET.Element:
    """Show late packets by cause, and the host's share."""
    rows = (
        element(
            "tr",
            element("th", element("span", name, class_=f"cause {cause}"), scope="row"),
            *(element("td", *_late_packets(window, cause)) for window in (windows.calls, windows.probe)),
        )
        for cause, name in CAUSES
    )
    judged = element(
        "tr",
        element("th", element("span", "Judged"), element("small", _describe_judged(limits)), scope="row"),
        *(element("td", *_late_packets(window, "judged")) for window in (windows.calls, windows.probe)),
    )
    caption = element(
        "caption",
        "Late: left for Asterisk more than ",
        number(limits.late_threshold_microseconds, format_duration(limits.late_threshold_microseconds)),
        " behind the RTP clock. The largest part of the delay determines the cause.",
    )
    bar = [] if windows.calls is None else [_late_bar(windows.calls)]
    causes = table(("Cause", "Calls", "Probe"), (*rows, judged), caption)
    return section("Late packets, by cause", *bar, causes, *_host_table(host))


def _describe_judged(limits: SlaLimits) -> str:
    if limits.judge_host:
        return "arrived in time, or made late by relay, echo and host"
    return "without the host's part: arrived in time, or made late by relay and echo"


def _host_table(host: HostReport | None) -> Iterator[ET.Element]:
    """Yield the processor time that the machine took away. A witness that can't be read has its reason."""
    if host is None:
        return
    missing = {witness.name: witness.reason for witness in host.witnesses if not witness.present}
    rows = (
        element(
            "tr",
            element("th", element("span", label), element("code", witness), scope="row"),
            element("td", _host_time(getattr(host, name), missing.get(witness))),
        )
        for witness, name, label in HOST_ROWS
    )
    caption = element("caption", *_host_caption(host))
    yield table(("Processor time taken in the window", "This machine"), rows, caption)


def _host_time(milliseconds: int | None, reason: str | None) -> Node:
    if milliseconds is None:
        return element("span", reason or "not measured", class_="absent")
    return number(milliseconds, format_duration(milliseconds * US_PER_MS))


def _host_caption(host: HostReport) -> Iterator[Node]:
    yield "Window: "
    yield number(host.window_seconds, f"{format_number(host.window_seconds)} s")
    if host.cpu_seconds is not None:
        yield ", in which the machine's processors had "
        yield number(host.cpu_seconds, f"{format_number(host.cpu_seconds)} s")
    if host.throttled_periods is not None:
        yield ", with "
        yield number(host.throttled_periods, format_count(host.throttled_periods, "throttled period"))
    yield "."
    if host.late_packets is not None and host.late_in_host_seconds is not None:
        yield " Of "
        yield number(host.late_packets, format_count(host.late_packets, "packet"))
        yield " late by relay, echo or host, "
        yield number(host.late_in_host_seconds, format_number(host.late_in_host_seconds))
        yield " lie in seconds with such time."
    if host.echo is not None:
        yield f" {ECHO_WITNESSES[host.echo]} "
        yield element("code", host.echo)


def figures_section(snapshot: Snapshot) -> ET.Element:
    """Show every figure of both windows."""
    both = (snapshot.report.windows.calls, snapshot.report.windows.probe)
    held = [
        _flatten(window_figures(window, figures, snapshot.limits)) if window is not None else {}
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
    late = getattr(window.late, cause)
    if late is None:
        yield not_measured()
        return
    yield number(late, format_number(late))
    share = parts_per_million(late, window.packets)
    if late and share is not None:
        yield " "
        yield element("span", f"({format_share(share)})")


def _late_bar(window: WindowReport) -> ET.Element:
    """Draw each cause's part of all late packets; an empty track when none was late."""
    parts, left, late = [], 0.0, window.late.all_causes
    for cause, _ in CAUSES:
        width = 100 * (getattr(window.late, cause) or 0) / late if late else 0.0
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
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
