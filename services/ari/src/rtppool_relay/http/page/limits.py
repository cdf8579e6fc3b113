"""The page's limits: each beside its figure, and the tiers with the capacity. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from rtppool_core.contract.pools_file import SlaLimits, SlaTier
from rtppool_core.contract.report import SlaReport
from rtppool_relay.figures.sla import SlaCheck
from rtppool_relay.http.page.markup import Node, element, not_measured, number, section, table
from rtppool_relay.http.sentences import LIMIT_NAMES, calls, counted, duration, in_unit_of, packets, share

# The limit's mark is at three quarters of the bar, or further left when the figure is far above it.
PERCENT_OF_LIMIT = 75.0
BAR_HEIGHT = 12


def limits_section(checks: Sequence[SlaCheck]) -> ET.Element:
    """Every limit that holds now: accepted, measured, and a bar."""
    held = table(("Limit", "Accepted", "Measured", "Measured against accepted"), map(_limit_row, checks))
    held.set("class", "limits")
    return section("Limits of calls", held)


def tiers_section(verdict: SlaReport, limits: SlaLimits) -> ET.Element:
    """All tiers, which one holds, which can't be reached and why."""
    tiers = sorted(limits.tiers, key=lambda tier: tier.up_to_calls)
    return section(
        "Tiers and capacity",
        *(element("p", tier.reason, class_="warning") for tier in verdict.unreachable_tiers),
        *_capacity(verdict.capacity_calls),
        table(("Active calls", "p50", "p95", "p99"), (_tier_row(tier, verdict) for tier in tiers)),
        _any_load(limits),
    )


def _limit_row(check: SlaCheck) -> ET.Element:
    return element(
        "tr",
        element("th", LIMIT_NAMES.get(check.limit, check.limit), element("code", check.limit), scope="row"),
        element("td", number(check.accepted, in_unit_of(check.limit, check.accepted)), class_="accepted"),
        element("td", _measured(check), class_="measured"),
        element("td", *_bar(check), class_="gauge"),
    )


def _measured(check: SlaCheck) -> ET.Element:
    if check.measured is None:
        return not_measured()
    text = number(check.measured, in_unit_of(check.limit, check.measured))
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
    """Where the limit's mark is and how far the bar reaches."""
    whole = max(accepted * 100 / PERCENT_OF_LIMIT, measured)
    return (100 * accepted / whole, 100 * measured / whole) if whole else (PERCENT_OF_LIMIT, 0.0)


def _tier_row(tier: SlaTier, verdict: SlaReport) -> ET.Element:
    holds = tier.up_to_calls == verdict.tier_up_to_calls
    reached = tier.up_to_calls not in {unreachable.up_to_calls for unreachable in verdict.unreachable_tiers}
    accepted = (tier.p50_microseconds, tier.p95_microseconds, tier.p99_microseconds)
    return element(
        "tr",
        element(
            "th",
            "up to ",
            number(tier.up_to_calls, calls(tier.up_to_calls)),
            ", holds now" if holds else "",
            "" if reached else ", out of reach",
            scope="row",
        ),
        *(element("td", number(limit, duration(limit))) for limit in accepted),
        class_="current" if holds else "other",
    )


def _capacity(capacity_calls: int | None) -> Iterator[Node]:
    if capacity_calls is not None:
        yield element("p", "Capacity: ", number(capacity_calls, calls(capacity_calls)), " at a time.")


def _any_load(limits: SlaLimits) -> ET.Element:
    return element(
        "p",
        "At any load: longest round trip ",
        number(limits.max_rtt_microseconds, duration(limits.max_rtt_microseconds)),
        ", late ",
        number(limits.max_late_ppm, share(limits.max_late_ppm)),
        ", lost ",
        number(limits.max_loss_ppm, share(limits.max_loss_ppm)),
        ". Judged over ",
        number(limits.window_seconds, f"{counted(limits.window_seconds)} s"),
        ", from ",
        number(limits.min_samples, packets(limits.min_samples)),
        " on.",
        class_="note",
    )
