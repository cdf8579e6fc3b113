"""The page's figures of the window: round trips as a plot, late packets by cause, and every figure.

Calls and probe have a column each and are never added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import HostReport, WindowReport, Windows
from rtppool_core.units import NS_PER_US, parts_per_million
from rtppool_relay.http.page.cells import NOT_MEASURED, Absent, Cell, Figure, Moment, Text, moment
from rtppool_relay.http.page.plot import Mark, Plot, draw_plot
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


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """The plot of round trips of `subject`."""

    subject: str
    description: str
    plot: Plot


@dataclass(frozen=True, slots=True)
class LatePackets:
    """Late packets of one cause in one window, with their share of all packets."""

    count: Cell
    share: str = ""


@dataclass(frozen=True, slots=True)
class LateRow:
    """Late packets of one cause."""

    cause: str
    name: str
    calls: LatePackets
    probe: LatePackets


@dataclass(frozen=True, slots=True)
class LatePart:
    """A cause's part of the bar of all late packets, in percent."""

    cause: str
    left: str
    width: str


@dataclass(frozen=True, slots=True)
class LateTable:
    """Late packets by cause. `bar` is absent where no packet of a call was sent."""

    threshold: Figure
    rows: list[LateRow]
    judged: LateRow
    judged_note: str
    bar: list[LatePart] | None
    bar_description: str


@dataclass(frozen=True, slots=True)
class HostRow:
    """Processor time that one witness has seen."""

    name: str
    witness: str
    time: Cell


@dataclass(frozen=True, slots=True)
class HostTable:
    """Processor time that the machine took away."""

    rows: list[HostRow]
    window: Figure
    cpu: Figure | None
    throttled_periods: Figure | None
    late: Figure | None
    late_in_host_seconds: Figure | None
    echo: str | None
    echo_sentence: str


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A figure of both windows."""

    name: str
    calls: Cell
    probe: Cell


def round_trips(snapshot: Snapshot) -> RoundTrips | None:
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
            return RoundTrips(subject, description, draw_plot(histogram, marks, max_rtt_ns))
    return None


def late_table(windows: Windows, limits: SlaLimits) -> LateTable:
    """Return late packets by cause."""
    threshold = limits.late_threshold_microseconds
    parts = None if windows.calls is None else list(_late_parts(windows.calls))
    late = format_number(windows.calls.late.all_causes) if windows.calls is not None else "no"
    return LateTable(
        threshold=Figure(threshold, format_duration(threshold)),
        rows=[_late_row(windows, cause, name) for cause, name in CAUSES],
        judged=_late_row(windows, "judged", "Judged"),
        judged_note=_describe_judged(limits),
        bar=parts,
        bar_description=f"{late} late packets of calls by cause",
    )


def _late_row(windows: Windows, cause: str, name: str) -> LateRow:
    return LateRow(cause, name, _late_packets(windows.calls, cause), _late_packets(windows.probe, cause))


def _describe_judged(limits: SlaLimits) -> str:
    if limits.judge_host:
        return "arrived in time, or made late by relay, echo and host"
    return "without the host's part: arrived in time, or made late by relay and echo"


def host_table(host: HostReport | None) -> HostTable | None:
    """Return the processor time that the machine took away. A witness that can't be read has its reason."""
    if host is None:
        return None
    missing = {witness.name: witness.reason for witness in host.witnesses if not witness.present}
    late, inside = host.late_packets, host.late_in_host_seconds
    both = late is not None and inside is not None
    return HostTable(
        rows=[
            HostRow(label, witness, _host_time(getattr(host, name), missing.get(witness)))
            for witness, name, label in HOST_ROWS
        ],
        window=Figure(host.window_seconds, f"{format_number(host.window_seconds)} s"),
        cpu=None if host.cpu_seconds is None else Figure(host.cpu_seconds, f"{format_number(host.cpu_seconds)} s"),
        throttled_periods=None
        if host.throttled_periods is None
        else Figure(host.throttled_periods, format_count(host.throttled_periods, "throttled period")),
        late=Figure(late, format_count(late, "packet")) if both and late is not None else None,
        late_in_host_seconds=Figure(inside, format_number(inside)) if both and inside is not None else None,
        echo=host.echo,
        echo_sentence=ECHO_WITNESSES[host.echo] if host.echo is not None else "",
    )


def _host_time(milliseconds: int | None, reason: str | None) -> Cell:
    if milliseconds is None:
        return Absent(reason) if reason else NOT_MEASURED
    return Figure(milliseconds, format_duration(milliseconds * US_PER_MS))


def figure_rows(snapshot: Snapshot) -> list[FigureRow]:
    """Return every figure of both windows."""
    both = (snapshot.report.windows.calls, snapshot.report.windows.probe)
    calls, probe = (
        _flatten(window_figures(window, figures, snapshot.limits)) if window is not None else {}
        for window, figures in zip(both, (snapshot.calls, snapshot.probe), strict=True)
    )
    present = {*calls, *probe}
    names = [name for name in FIGURE_NAMES if name in present] + sorted(present - set(FIGURE_NAMES))
    starts, ends = zip(*(_bounds(window) for window in both), strict=True)
    return [
        FigureRow("Window from", *starts),
        FigureRow("Window to", *ends),
        *(
            FigureRow(
                FIGURE_NAMES.get(name) or spell_out(name), _cell(name, calls.get(name)), _cell(name, probe.get(name))
            )
            for name in names
        ),
    ]


def _bounds(window: WindowReport | None) -> tuple[Moment | Absent, Moment | Absent]:
    if window is None:
        return NOT_MEASURED, NOT_MEASURED
    return moment(window.start_unix_seconds), moment(window.end_unix_seconds)


def spell_out(name: str) -> str:
    """Turn the field `burst.lossDensityPpm` into `Burst loss density`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name.replace(".", " "))
    return words.removesuffix(" microseconds").removesuffix(" ppm").removesuffix(" ns").capitalize()


def _late_packets(window: WindowReport | None, cause: str) -> LatePackets:
    late = getattr(window.late, cause) if window is not None else None
    if window is None or late is None:
        return LatePackets(NOT_MEASURED)
    share = parts_per_million(late, window.packets)
    return LatePackets(Figure(late, format_number(late)), format_share(share) if late and share is not None else "")


def _late_parts(window: WindowReport) -> Iterator[LatePart]:
    """Yield each cause's part of all late packets; nothing when none was late."""
    left, late = 0.0, window.late.all_causes
    for cause, _ in CAUSES:
        width = 100 * (getattr(window.late, cause) or 0) / late if late else 0.0
        if width:
            yield LatePart(cause, f"{left:.2f}%", f"{width:.2f}%")
        left += width


def _flatten(figures: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Join the names of nested figures by dots, without `SHOWN_ELSEWHERE`."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{place}{name}.") if place or name not in SHOWN_ELSEWHERE else {}
        elif place or name not in SHOWN_ELSEWHERE:
            flat[place + name] = value
    return flat


def _cell(name: str, value: Any) -> Cell:
    if value is None:
        return NOT_MEASURED
    text = format_figure(name, value)
    return Figure(value, text) if isinstance(value, int | float) and not isinstance(value, bool) else Text(text)


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
