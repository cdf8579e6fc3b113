"""The pages of the relay: the live page, and `/sla` as the printable report, verdict first.

The report has every figure of the JSON document: numbers as `<data value="…">` with the exact value, times as `<time>`.
It has no script, and loads nothing but the relay's own style sheets.
"""

from __future__ import annotations

from collections.abc import Iterator

import rtppool_core
from rtppool_core.contract.report import Report
from rtppool_core.pages.templates import Templates
from rtppool_relay.http.page.cells import BAR_HEIGHT, Figure, moment
from rtppool_relay.http.page.limits import any_load, limit_rows, tier_rows
from rtppool_relay.http.page.windows import figure_rows, host_table, late_table, round_trips
from rtppool_relay.http.sentences import (
    describe_calls,
    describe_tier,
    describe_verdict,
    describe_violation,
    format_count,
    format_number,
)
from rtppool_relay.http.snapshot import Snapshot

# The package that has the templates and the static files.
PACKAGE = "rtppool_relay.http.page"
SIGNS = {"Met": "✓", "Violated": "✗", "Unknown": "?"}


def render_report(templates: Templates, snapshot: Snapshot) -> str:
    """Return the report as HTML text."""
    report, limits = snapshot.report, snapshot.limits
    verdict, window = report.sla, report.windows.calls
    return templates.render(
        "sla.html",
        report=report,
        verdict=verdict,
        sign=SIGNS[verdict.result],
        pool=describe_pool(report),
        echo=report.echo.resolved_address or report.echo.host,
        violations=[describe_violation(each, limits) for each in verdict.violations],
        verdict_sentence=describe_verdict(verdict, limits, window),
        active=Figure(verdict.active_calls, format_count(verdict.active_calls, "call")),
        tier=describe_tier(verdict),
        window=window,
        window_seconds=format_number(limits.window_seconds),
        window_from=moment(window.start_unix_seconds) if window is not None else None,
        window_to=moment(window.end_unix_seconds) if window is not None else None,
        window_packets=format_count(window.packets, "packet") if window is not None else None,
        problems=list(find_problems(report)),
        limit_rows=limit_rows(snapshot.checks, limits),
        late=late_table(report.windows, limits),
        host=host_table(report.host),
        round_trips=round_trips(snapshot),
        figure_rows=figure_rows(snapshot),
        tiers=tier_rows(verdict, limits),
        capacity=None
        if verdict.capacity_calls is None
        else Figure(verdict.capacity_calls, format_count(verdict.capacity_calls, "call")),
        any_load=any_load(limits),
        bar_height=BAR_HEIGHT,
    )


def describe_pool(report: Report) -> str:
    """Name the relay's pool, or say that it has none."""
    return f"pool {report.pool.namespace}/{report.pool.name}" if report.pool else "no pool, settings of its environment"


def find_problems(report: Report) -> Iterator[str]:
    """Yield the faults of relay, echo, Asterisk, clock and calls that may spoil the figures."""
    yield from report.not_ready
    if report.echo.reachable is not True and report.echo.reason:
        yield f"Echo: {report.echo.reason}"
    if report.ari.state not in {"Connected", "NotConfigured"} and report.ari.reason:
        yield f"Asterisk: {report.ari.reason}"
    if report.config_error:
        yield f"Configuration: {report.config_error}"
    if report.clock.reason:
        yield f"Clock: {report.clock.reason}"
    yield from describe_calls(report.calls)


def render_live(templates: Templates, relay: str, node: str) -> str:
    """Return the live page, whose figures follow as events."""
    return templates.render("live.html", relay=relay, node=node, version=rtppool_core.__version__)
