"""The console output of a load test, during the run and at its end, as rich renderables."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.formats import milliseconds
from rtppool_callgen.load.report import LoadReport
from rtppool_callgen.load.windows import LoadWindow
from rtppool_callgen.plan.plan import LoadPlan

BAR_WIDTH = 40
_COLOURS = {"Met": "green", "Violated": "red"}


@dataclass(frozen=True, slots=True)
class LoadView:
    """A load at one moment. `window` is None before the relay's first window. `trouble` is the last failed read."""

    seconds: float
    tally: Tally
    window: LoadWindow | None
    trouble: str | None = None


def live_view(view: LoadView, plan: LoadPlan, address: str) -> RenderableType:
    """Return progress bar, calls and percentiles."""
    bar = Table.grid(padding=(0, 1))
    total = plan.total_seconds
    bar.add_row(
        ProgressBar(total=total, completed=min(view.seconds, total), width=BAR_WIDTH),
        Text(f"{min(view.seconds, total):.0f} of {total:.0f} s"),
    )
    parts: list[RenderableType] = [bar, Text(calls_line(view.tally, plan)), Text(window_line(view.window))]
    if view.window is not None:
        parts.append(verdict_line(view.window))
    if view.trouble:
        parts.append(Text(view.trouble, style="yellow"))
    parts.append(Text(f"all calls {address}/calls   verdict {address}/sla   Ctrl-C ends it with a report", style="dim"))
    return Group(*parts)


def plain_line(view: LoadView, plan: LoadPlan) -> str:
    """Return the progress as one line, for a log."""
    at = f"{view.seconds:.0f} of {plan.total_seconds:.0f} s"
    line = f"{at}: {calls_line(view.tally, plan)}; {window_line(view.window)}"
    return f"{line}; {view.trouble}" if view.trouble else line


def calls_line(tally: Tally, plan: LoadPlan) -> str:
    """Return the counts of calls."""
    refused, failed = sum(tally.refused.values()), sum(tally.failed.values())
    return (
        f"calls {tally.active} of {plan.concurrent} active, {tally.placed} of {plan.calls} placed, "
        f"{tally.completed} completed, {refused} refused, {failed} failed"
    )


def window_line(window: LoadWindow | None) -> str:
    """Return the figures of the relay's last window."""
    if window is None or window.packets == 0:
        return "no packet of a call measured yet"
    late = window.late_ppm(window.late_judged)
    host = "" if window.late_host is None else f" and {window.late_ppm(window.late_host)} by the host"
    return (
        f"round trip p50 {milliseconds(window.p50_microseconds)}, p95 {milliseconds(window.p95_microseconds)}, "
        f"p99 {milliseconds(window.p99_microseconds)}, max {milliseconds(window.max_microseconds)}, "
        f"late {late} ppm judged{host}, {window.lost} of {window.packets} packets lost"
    )


def verdict_line(window: LoadWindow) -> Text:
    """Return the relay's verdict on its last window."""
    text = Text("SLA ").append(window.result, style=f"bold {_COLOURS.get(window.result, 'yellow')}")
    tier = "" if window.tier_up_to_calls is None else f", tier up to {window.tier_up_to_calls} calls"
    return text.append(f" ({window.reason}{tier})")


def summary(report: LoadReport, paths: tuple[str, str]) -> RenderableType:
    """Return the final output: verdict, shortfalls, figures by tier, and the paths of report and chart."""
    verdict = report.verdict
    style = _COLOURS.get(verdict.result, "yellow" if verdict.result == "Incomplete" else "red")
    parts: list[RenderableType] = [Text(verdict.sentence, style=f"bold {style}")]
    parts += [Text(f"  {sentence}", style="yellow") for sentence in verdict.shortfalls]
    parts.append(_account(report))
    parts.append(Text("report {}   chart {}".format(*paths)))
    return Group(*parts)


def _account(report: LoadReport) -> RenderableType:
    calls, document = report.calls, report.document
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    if calls.interrupted:
        table.add_row("interrupted", str(calls.interrupted))
    for name, figure in (
        ("calls placed / completed", f"{calls.placed} / {calls.completed}"),
        ("refused / failed", f"{sum(calls.refused.values())} / {sum(calls.failed.values())}"),
        ("orphans / leaked ports", f"{_shown(calls.orphans)} / {_shown(calls.leaked_ports)}"),
        ("zero / missing round trip", f"{_shown(calls.zero_round_trip)} / {_shown(calls.missing_round_trip)}"),
    ):
        table.add_row(name, figure)
    for tier in document["tiers"]:
        name = "no tier" if tier["upToCalls"] is None else f"tier up to {tier['upToCalls']} calls"
        figures = [milliseconds(tier[f"worst{quantile}Microseconds"]) for quantile in ("P50", "P95", "P99", "Max")]
        windows = f"{tier['met']} Met, {tier['violated']} Violated, {tier['unknown'] + tier['mixed']} not judged"
        table.add_row(name, f"{windows}; worst p50 {figures[0]}, p95 {figures[1]}, p99 {figures[2]}, max {figures[3]}")
    caller = document["callerRoundTrip"]
    if caller is not None:
        table.add_row(
            "round trip measured by callers",
            f"p50 {milliseconds(caller['p50Microseconds'])}, p95 {milliseconds(caller['p95Microseconds'])}, "
            f"p99 {milliseconds(caller['p99Microseconds'])}, max {milliseconds(caller['maxMicroseconds'])}",
        )
    return table


def _shown(figure: int | None) -> str:
    return "unknown" if figure is None else str(figure)
