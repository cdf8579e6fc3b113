"""The live table of `make run`, and its summary, as rich renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtppool_callgen.demo.controls import Key
from rtppool_callgen.demo.relay_view import MAX_ROWS, CallRow, RelayView
from rtppool_callgen.formats import milliseconds

STOLEN_FROM = "A limit of 0.1 % at 3 ms can't be kept on a virtual machine whose hypervisor takes its processors."
CAUSES = ("source", "relay", "echo", "host")
_COLOURS = {"Met": "green", "Violated": "red", "Unknown": "yellow"}


def live_table(view: RelayView, address: str, second: Mapping[str, Any], rows: int = MAX_ROWS) -> RenderableType:
    """Return the live table with at most `rows` calls, worst p99 first. `second` is the latest second of calls."""
    parts: list[RenderableType] = [Text(f"live page {address}/   report {address}/sla   Ctrl-C ends it", style="dim")]
    parts += [Text(headline(view)), verdict_line(view), Text(second_line(second)), _calls_table(view, rows)]
    hidden = len(view.calls) - rows
    if hidden > 0:
        parts.append(Text(f"… and {hidden} more calls, all at {address}/calls", style="dim"))
    parts += [Text(line, style="yellow") for line in (*host_lines(view), *problem_lines(view))]
    return Group(*parts)


def second_line(second: Mapping[str, Any]) -> str:
    """Return the figures of the latest second. What was not measured is a dash."""
    if not second:
        return "now: no packets"
    late = {cause: second.get(f"late_{cause}") for cause in CAUSES}
    causes = _causes({cause: packets for cause, packets in late.items() if packets is not None})
    lost = "-" if second.get("lost") is None else second["lost"]
    return (
        f"now ({second['kind']}): round trip p50 {milliseconds(second.get('p50'))}, "
        f"p99 {milliseconds(second.get('p99'))}, late {causes or '-'}, lost {lost} of {second['packets']}"
    )


def keys_line(keys: Sequence[Key]) -> Text:
    """Return the keys. A switch that is on is in reverse."""
    line = Text("keys  ")
    for key in keys:
        line.append(f" {key.key} ", style="bold").append(key.label, style="reverse" if key.is_on() else "")
        line.append("  ")
    return line


def headline(view: RelayView) -> str:
    """Return calls, ports, echo and Asterisk in one line."""
    refused = sum(view.refused.values())
    return (
        f"calls {view.active} active, {view.accepted} accepted, {refused} refused   "
        f"ports {view.port_range}, {view.ports_free} of {view.ports_total} free   echo {view.echo}   "
        f"Asterisk stand-in {view.ari_state}"
    )


def verdict_line(view: RelayView) -> Text:
    """Return the verdict and the figures of the window, of the probe while there are no calls."""
    text = Text("SLA ").append(view.sla, style=f"bold {_COLOURS.get(view.sla, 'white')}")
    text.append(f" ({view.sla_reason}")
    if view.tier_up_to_calls is not None:
        text.append(f", tier up to {view.tier_up_to_calls} calls")
    text.append(")   ")
    if view.window is not None:
        text.append(window_line(view.window))
    elif view.probe is not None:
        text.append(f"probe: {window_line(view.probe)}")
    return text


def window_line(window: Mapping[str, Any]) -> str:
    """Return round trips, late packets and loss of a window."""
    return (
        f"{window['packets']} packets, round trip p50 {milliseconds(window.get('p50Microseconds'))}, "
        f"p99 {milliseconds(window.get('p99Microseconds'))}, max {milliseconds(window.get('maxMicroseconds'))}, "
        f"late {window.get('latePpm', '-')} ppm (judged; {_causes(window['late'])} packets), "
        f"loss {window['lossPpm']} ppm"
    )


def _causes(late: Mapping[str, int]) -> str:
    """Return the late packets by cause, without `host` where no witness watched."""
    return ", ".join(f"{cause} {late[cause]}" for cause in CAUSES if cause in late)


def host_lines(view: RelayView) -> list[str]:
    """Return the host's share, and the consequence of a hypervisor that takes processors."""
    lines = [view.host_share] if view.host_share else []
    return [*lines, STOLEN_FROM] if view.is_stolen_from else lines


def problem_lines(view: RelayView) -> list[str]:
    """Return a sentence for each problem."""
    lines = [f"limit missed: {violation}" for violation in view.violations]
    reasons = ", ".join(f"{count} {reason}" for reason, count in view.refused.items())
    lines += [f"refused ({reasons}): {sentence}" for sentence in view.refusals]
    if view.ari_reason:
        lines.append(view.ari_reason)
    if view.echo_reachable is False:
        lines.append(f"the echo at {view.echo} does not answer")
    return lines


def summary(view: RelayView, seconds: float) -> RenderableType:
    """Return the summary after `seconds`."""
    parts: list[RenderableType] = [Text(f"After {seconds:.0f} s: {headline(view)}"), verdict_line(view)]
    return Group(*parts, *(Text(line) for line in (*host_lines(view), *problem_lines(view))))


def _calls_table(view: RelayView, rows: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in (
        "call",
        "port",
        "state",
        "packets",
        "p50 ms",
        "p99 ms",
        "late",
        "src late",
        "host late",
        "lost",
        "SLA",
    ):
        table.add_column(name, justify="left" if name in {"call", "state", "SLA"} else "right", no_wrap=True)
    for row in sorted(view.calls, key=lambda row: row.p99_microseconds or 0, reverse=True)[:rows]:
        table.add_row(*_cells(row))
    return table


def _cells(row: CallRow) -> tuple[str | Text, ...]:
    return (
        row.call,
        "-" if row.port is None else str(row.port),
        row.state,
        str(row.packets),
        milliseconds(row.p50_microseconds).removesuffix(" ms"),
        milliseconds(row.p99_microseconds).removesuffix(" ms"),
        str(row.late),
        str(row.late_by_source),
        "-" if row.late_by_host is None else str(row.late_by_host),
        str(row.lost),
        Text(row.sla, style=_COLOURS.get(row.sla, "white")),
    )
