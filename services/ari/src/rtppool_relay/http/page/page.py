"""`/sla` for people: one self-contained page, verdict first.

The page has every figure of the JSON document: numbers as `<data value="…">` with the exact value, times as `<time>`.
It has no script, and its Content-Security-Policy allows nothing but its own style sheet.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from string import Template
from xml.etree import ElementTree as ET

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import Report, WindowReport
from rtppool_relay.http.page.limits import limits_section, tiers_section
from rtppool_relay.http.page.markup import Node, element, moment, number, to_html
from rtppool_relay.http.page.windows import figures_section, late_section, round_trips_section
from rtppool_relay.http.sentences import (
    describe_calls,
    describe_tier,
    describe_verdict,
    describe_violation,
    format_count,
    format_number,
)
from rtppool_relay.http.snapshot import Snapshot

SIGNS = {"Met": "✓", "Violated": "✗", "Unknown": "?"}


@dataclass(frozen=True, slots=True)
class SlaPage:
    """The page's frame and the policy that allows its style sheet."""

    frame: Template
    content_security_policy: str

    @classmethod
    def load(cls) -> SlaPage:
        """Read the frame from the package."""
        frame = resources.files(__package__).joinpath("sla_page.html").read_text(encoding="utf-8")
        style = frame.partition("<style>")[2].partition("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        return cls(
            Template(frame),
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
        )

    def render(self, snapshot: Snapshot) -> str:
        """Return the page as HTML text."""
        report, limits = snapshot.report, snapshot.limits
        body = element(
            "body",
            _header(report),
            element(
                "main",
                _verdict(report, limits),
                limits_section(snapshot.checks, limits),
                late_section(report.windows, limits, report.host),
                *round_trips_section(snapshot),
                figures_section(snapshot),
                tiers_section(report.sla, limits),
            ),
            _footer(report),
        )
        title = element("title", f"SLA {report.sla.result}: {report.node}")
        return self.frame.substitute(title=to_html(title), body=to_html(body))


def _header(report: Report) -> ET.Element:
    pool = f"pool {report.pool.namespace}/{report.pool.name}" if report.pool else "no pool, settings of its environment"
    return element(
        "header",
        element("h1", f"Media quality of {report.node}"),
        element("p", f"relay {report.relay}, {pool}, ports {report.ports.range}, echo {_echo(report)}", class_="soft"),
    )


def _echo(report: Report) -> str:
    return report.echo.resolved_address or report.echo.host


def _verdict(report: Report, limits: SlaLimits) -> ET.Element:
    verdict = report.sla
    calls = format_count(verdict.active_calls, "call")
    if verdict.violations:
        why: Node = element("ul", *(element("li", describe_violation(each, limits)) for each in verdict.violations))
    else:
        why = element("p", describe_verdict(verdict, limits, report.windows.calls))
    share = report.host.sentence if report.host is not None else None
    return element(
        "section",
        element("strong", f"{SIGNS[verdict.result]} {verdict.result}"),
        why,
        *([element("p", share)] if share else []),
        element("p", number(verdict.active_calls, calls), f" active: {describe_tier(verdict)}"),
        element("p", *_window(report.windows.calls, limits), " ", element("code", verdict.reason), class_="soft"),
        *(element("p", problem, class_="warning") for problem in _problems(report)),
        class_=f"verdict {verdict.result.lower()}",
    )


def _problems(report: Report) -> Iterator[str]:
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


def _window(window: WindowReport | None, limits: SlaLimits) -> tuple[Node, ...]:
    if window is None:
        return (f"Window: {format_number(limits.window_seconds)} s without a packet of a call.",)
    times = moment(window.start_unix_seconds), " to ", moment(window.end_unix_seconds)
    return ("Window: ", *times, f", {format_count(window.packets, 'packet')} of calls.")


def _footer(report: Report) -> ET.Element:
    return element(
        "footer",
        element(
            "p",
            "Reloads every 5 s. For programs: this page with Accept: application/json, ",
            element("a", "/status", href="/status"),
            ", ",
            element("a", "/calls", href="/calls"),
            ", ",
            element("a", "/metrics", href="/metrics"),
            f". rtp-pool {report.software_version}.",
        ),
    )
