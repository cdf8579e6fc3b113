"""`/sla` for a person: one page that needs nothing else, verdict first. Rendered in the control process only.

It holds every figure of the JSON document: numbers as `<data value="…">` with the exact value, times as `<time>`.
Nothing on it runs, and its Content-Security-Policy allows nothing but its own style sheet.
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
from rtppool_relay.http.page.markup import Node, element, html_of, moment, number
from rtppool_relay.http.page.windows import figures_section, late_section, round_trips_section
from rtppool_relay.http.sentences import (
    call_remarks,
    calls,
    counted,
    packets,
    tier_sentence,
    verdict_sentence,
    violation_sentence,
)
from rtppool_relay.http.sla_document import window_checks

SIGNS = {"Met": "✓", "Violated": "✗", "Unknown": "?"}


@dataclass(frozen=True, slots=True)
class SlaPage:
    """The page's frame and the policy that allows its style sheet."""

    frame: Template
    content_security_policy: str

    @classmethod
    def load(cls) -> SlaPage:
        """Read the frame, which is part of the package."""
        frame = resources.files(__package__).joinpath("sla_page.html").read_text(encoding="utf-8")
        style = frame.partition("<style>")[2].partition("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        return cls(
            Template(frame),
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
        )

    def render(self, report: Report, limits: SlaLimits) -> str:
        """The page of a relay's report."""
        windows = report.windows
        body = element(
            "body",
            _header(report),
            element(
                "main",
                _verdict(report, limits),
                limits_section(window_checks(windows.calls, report.sla.active_calls, limits)),
                late_section(windows, limits),
                *round_trips_section(windows, report.sla.active_calls, limits),
                figures_section(windows),
                tiers_section(report.sla, limits),
            ),
            _footer(report),
        )
        title = element("title", f"SLA {report.sla.result}: {report.node}")
        return self.frame.substitute(title=html_of(title), body=html_of(body))


def _header(report: Report) -> ET.Element:
    pool = f"pool {report.pool.namespace}/{report.pool.name}" if report.pool else "no pool, on its environment"
    return element(
        "header",
        element("h1", f"Media quality of {report.node}"),
        element("p", f"relay {report.relay}, {pool}, ports {report.ports.range}, echo {_echo(report)}", class_="soft"),
    )


def _echo(report: Report) -> str:
    return report.echo.resolved_address or report.echo.host


def _verdict(report: Report, limits: SlaLimits) -> ET.Element:
    verdict = report.sla
    if verdict.violations:
        why: Node = element("ul", *(element("li", violation_sentence(each)) for each in verdict.violations))
    else:
        why = element("p", verdict_sentence(verdict, limits, report.windows.calls))
    return element(
        "section",
        element("strong", f"{SIGNS[verdict.result]} {verdict.result}"),
        why,
        element("p", number(verdict.active_calls, calls(verdict.active_calls)), f" active: {tier_sentence(verdict)}"),
        element("p", *_window(report.windows.calls, limits), " ", element("code", verdict.reason), class_="soft"),
        *(element("p", problem, class_="warning") for problem in _problems(report)),
        class_=f"verdict {verdict.result.lower()}",
    )


def _problems(report: Report) -> Iterator[str]:
    """What else a person should know before they trust the figures."""
    yield from report.not_ready
    if report.echo.reachable is not True and report.echo.reason:
        yield f"Echo: {report.echo.reason}"
    if report.ari.state not in {"Connected", "NotConfigured"} and report.ari.reason:
        yield f"Asterisk: {report.ari.reason}"
    if report.config_error:
        yield f"Configuration: {report.config_error}"
    if report.clock.reason:
        yield f"Clock: {report.clock.reason}"
    yield from call_remarks(report.calls)


def _window(window: WindowReport | None, limits: SlaLimits) -> tuple[Node, ...]:
    if window is None:
        return (f"Window: {counted(limits.window_seconds)} s without a packet of a call.",)
    times = moment(window.start_unix_seconds), " to ", moment(window.end_unix_seconds)
    return ("Window: ", *times, f", {packets(window.packets)} of calls.")


def _footer(report: Report) -> ET.Element:
    return element(
        "footer",
        element(
            "p",
            "Loads itself again every 5 s. For programs: this page with Accept: application/json, ",
            element("a", "/status", href="/status"),
            ", ",
            element("a", "/calls", href="/calls"),
            ", ",
            element("a", "/metrics", href="/metrics"),
            f". rtp-pool {report.software_version}.",
        ),
    )
