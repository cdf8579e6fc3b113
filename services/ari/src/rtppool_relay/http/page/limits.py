"""The page's limits: a check a row with a bar, and the tiers with the relay's capacity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from rtppool_core.contract.pools_file import SlaLimits, SlaTier
from rtppool_core.contract.report import SlaReport
from rtppool_relay.figures.sla import SlaCheck
from rtppool_relay.http.page.markup import BAR_HEIGHT, Node, element, not_measured, number, section, table
from rtppool_relay.http.sentences import (
    format_count,
    format_duration,
    format_limit,
    format_number,
    format_share,
    name_limit,
)

# The limit's mark is at three quarters of the bar, or further left when the figure is far above the limit.
PERCENT_OF_LIMIT = 75.0


def limits_section(checks: Sequence[SlaCheck], limits: SlaLimits) -> ET.Element:
    """Show every limit that applies: accepted, measured, and a bar."""
    rows = table(
        ("Limit", "Accepted", "Measured", "Measured against accepted"),
        (_limit_row(check, name_limit(check.limit, limits)) for check in checks),
    )
    rows.set("class", "limits")
    return section("Limits of calls", rows)


def tiers_section(verdict: SlaReport, limits: SlaLimits) -> ET.Element:
    """Show all tiers: which one applies, which ones are out of reach and why."""
    tiers = sorted(limits.tiers, key=lambda tier: tier.up_to_calls)
    return section(
        "Tiers and capacity",
        *(element("p", tier.reason, class_="warning") for tier in verdict.unreachable_tiers),
        *_capacity(verdict.capacity_calls),
        table(("Active calls", "p50", "p95", "p99"), (_tier_row(tier, verdict) for tier in tiers)),
        _any_load(limits),
    )


def _limit_row(check: SlaCheck, name: str) -> ET.Element:
    return element(
        "tr",
        element("th", name, element("code", check.limit), scope="row"),
        element("td", number(check.accepted, format_limit(check.limit, check.accepted)), class_="accepted"),
        element("td", _measured(check), class_="measured"),
        element("td", *_bar(check), class_="gauge"),
    )


def _measured(check: SlaCheck) -> ET.Element:
    if check.measured is None:
        return not_measured()
    text = number(check.measured, format_limit(check.limit, check.measured))
    return element("span", text, " ✓" if check.kept else " ✗", class_="kept" if check.kept else "broken")


def _bar(check: SlaCheck) -> Iterator[Node]:
    if check.measured is None:
        return
    edge, filled = _bar_percents(check.accepted, check.measured)
    size = {"height": str(BAR_HEIGHT), "rx": "2"}
    yield element(
        "svg",
        element("rect", width="100%", class_="track", **size),
        element("rect", width=f"{filled:.2f}%", class_=f"fill {'kept' if check.kept else 'broken'}", **size),
        element("line", x1=f"{edge:.2f}%", x2=f"{edge:.2f}%", y1="0", y2=str(BAR_HEIGHT), class_="edge"),
        width="100%",
        height=str(BAR_HEIGHT),
        role="img",
        aria_label="within the limit" if check.kept else "above the limit",
    )


def _bar_percents(accepted: int, measured: int) -> tuple[float, float]:
    """Return the positions of the limit's mark and of the bar's end."""
    whole = max(accepted * 100 / PERCENT_OF_LIMIT, measured)
    return (100 * accepted / whole, 100 * measured / whole) if whole else (PERCENT_OF_LIMIT, 0.0)


def _tier_row(tier: SlaTier, verdict: SlaReport) -> ET.Element:
    applies = tier.up_to_calls == verdict.tier_up_to_calls
    reachable = tier.up_to_calls not in {unreachable.up_to_calls for unreachable in verdict.unreachable_tiers}
    accepted = (tier.p50_microseconds, tier.p95_microseconds, tier.p99_microseconds)
    return element(
        "tr",
        element(
            "th",
            "up to ",
            number(tier.up_to_calls, format_count(tier.up_to_calls, "call")),
            ", applies now" if applies else "",
            "" if reachable else ", out of reach",
            scope="row",
        ),
        *(element("td", number(limit, format_duration(limit))) for limit in accepted),
        class_="current" if applies else "other",
    )


def _capacity(capacity_calls: int | None) -> Iterator[Node]:
    if capacity_calls is not None:
        yield element("p", "Capacity: ", number(capacity_calls, format_count(capacity_calls, "call")), " at a time.")


def _any_load(limits: SlaLimits) -> ET.Element:
    return element(
        "p",
        "At any load: longest round trip ",
        number(limits.max_rtt_microseconds, format_duration(limits.max_rtt_microseconds)),
        ", late ",
        number(limits.max_late_ppm, format_share(limits.max_late_ppm)),
        ", lost ",
        number(limits.max_loss_ppm, format_share(limits.max_loss_ppm)),
        ". Delay by the host counts as well." if limits.judge_host else ". Delay by the host is not judged.",
        " A verdict covers ",
        number(limits.window_seconds, f"{format_number(limits.window_seconds)} s"),
        " and needs ",
        number(limits.min_samples, format_count(limits.min_samples, "round trip")),
        ".",
        class_="note",
    )
