"""The live page in a browser: what it draws when the relay's situation changes."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect
from rig import Rig

pytestmark = pytest.mark.timeout(180)
Visit = Callable[..., Page]
Start = Callable[..., Rig]
MS = re.compile(r"^[\d.]+ ms$")
FIGURE = re.compile(r"^[\d.,]+ (µs|ms)$")


def tile(page: Page, name: str) -> Locator:
    return (
        page.locator("#now > div").filter(has=page.locator("dt", has_text=re.compile(f"^{name}$"))).locator("dd").first
    )


def calls_are_live(page: Page, calls: int) -> None:
    expect(page.locator("#connection")).to_have_text("Live: figures of each second.")
    expect(page.locator("#calls-body tr")).to_have_count(calls)


def test_a_relay_with_calls_shows_verdict_figures_with_units_ports_and_calls(visit: Visit, rig: Rig) -> None:
    page = visit(rig.address)
    calls_are_live(page, 6)
    expect(page.locator("#result")).to_have_text(re.compile("Met|Violated|Unknown"))
    for name in ("Round trip, median", "Round trip, 99 %", "Jitter at the echo", "Residence, median"):
        expect(tile(page, name)).to_have_text(FIGURE)
    for cause in ("source", "relay", "echo"):
        expect(tile(page, f"Late by {cause}")).to_have_text(re.compile(r"^\d+ packets?$"))
    expect(page.locator("#source-note")).to_have_text("Figures of calls that became known in the last second.")
    expect(page.locator("#ports .port.leased")).to_have_count(6)
    expect(page.locator("#ports .port.free")).to_have_count(95)
    expect(page.locator("#limits tr")).to_have_count(6)
    expect(page.locator("#limits tr").first).to_contain_text("left")
    expect(page.locator("#bands path.p50")).to_have_count(1)
    expect(page.locator("#distribution path.roundtrip")).to_have_count(1)
    expect(page.locator("#distribution path.residence")).to_have_count(1)
    expect(page.locator("#calls-body .sparkline path").first).to_have_attribute("d", re.compile("^M.*L"))


def test_a_delay_is_a_step_of_the_round_trip_then_late_packets_by_echo_and_a_violated_verdict(
    visit: Visit, rig: Rig
) -> None:
    page = visit(rig.address)
    calls_are_live(page, 6)
    expect(tile(page, "Round trip, median")).to_have_text(FIGURE)
    rig.echo.delay_seconds = 0.03
    expect(tile(page, "Late by echo")).to_have_text(re.compile(r"^[1-9][\d,]* packets?$"))
    expect(tile(page, "Round trip, median")).to_have_text(re.compile(r"^[3-9]\d(\.\d+)? ms$"))
    expect(page.locator("#result")).to_have_text("✗ Violated", timeout=60_000)
    expect(page.locator("#violations")).to_contain_text("Longest round trip")
    expect(page.locator("#events path.part.echo")).to_have_count(1)
    rig.echo.restore()
    expect(tile(page, "Round trip, median")).to_have_text(re.compile(r"^([\d,]+ µs|[0-9](\.\d+)? ms)$"))


def test_lost_packets_are_counted_and_drawn(visit: Visit, rig: Rig) -> None:
    page = visit(rig.address)
    calls_are_live(page, 6)
    rig.echo.loss = 0.2
    expect(tile(page, "Lost")).to_have_text(re.compile(r"^[1-9]\d* packets?$"))
    expect(page.locator("#events path.part.lost")).to_have_count(1)
    page.select_option("#only", "lost")
    expect(page.locator("#calls-body tr").first).to_be_visible()


def test_without_calls_the_figures_are_the_probes_and_the_page_says_so(visit: Visit, start: Start) -> None:
    page = visit(start(calls=0).address)
    expect(page.locator("#source-note")).to_contain_text("These figures come from the probe, and are never judged")
    expect(page.locator("#calls-note")).to_contain_text("No call is live.")
    expect(tile(page, "Round trip, median")).to_have_text(FIGURE)
    expect(page.locator("#result")).to_have_text("? Unknown")
    expect(page.locator("#limits .absent").first).to_have_text("not measured")
    page.select_option("#source", "calls")
    expect(page.locator("#now")).to_contain_text("No packet of a call in this second.")
    expect(page.locator("#bands")).to_contain_text("Nothing was measured in this time")


def test_a_pool_without_a_free_port_says_so_and_counts_refusals_by_reason(visit: Visit, start: Start) -> None:
    page = visit(start(calls=6, ports=3).address)
    calls_are_live(page, 3)
    expect(page.locator("#ports-note")).to_contain_text("No port is left for another call.")
    expect(page.locator("#ports .port.leased")).to_have_count(3)
    expect(page.locator("#refusals")).to_contain_text("NoFreePort")


def test_a_call_that_ends_moves_to_the_ended_calls_with_its_figures(visit: Visit, start: Start) -> None:
    rig = start(calls=2)
    page = visit(rig.address)
    calls_are_live(page, 2)
    expect(page.locator("#ended-note")).to_have_text("No call has ended since the relay started.")
    expect(page.locator("#calls-body tr").first).to_contain_text("ms")
    rig.hang_up("standin-1")
    calls_are_live(page, 1)
    row = page.locator("#ended-body tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("caller hung up")
    expect(row.locator("td").nth(5)).to_have_text(FIGURE)
    expect(page.locator("#ended-note")).to_have_text("1 call, newest first.")


def test_a_cut_stream_is_named_and_the_page_recovers_by_itself(visit: Visit, start: Start, errors: list[str]) -> None:
    rig = start(calls=2)
    page = visit(rig.address)
    calls_are_live(page, 2)
    rig.kill_relay()
    expect(page.locator("#connection")).to_contain_text("The stream is cut: the figures are those of")
    expect(page.locator("body")).to_have_class("stale")
    rig.start_relay()
    expect(page.locator("#connection")).to_have_text("Live: figures of each second.")
    expect(page.locator("body")).not_to_have_class("stale")
    # The browser logs each connection that the missing relay refused.
    errors[:] = [each for each in errors if "net::ERR_" not in each]


def test_a_hundred_and_one_calls_are_a_row_and_a_leased_port_each(visit: Visit, start: Start) -> None:
    page = visit(start(calls=101).address)
    expect(page.locator("#calls-body tr")).to_have_count(101, timeout=60_000)
    expect(page.locator("#ports .port.leased")).to_have_count(101)
    expect(page.locator("#ports-note")).to_contain_text("No port is left for another call.")
    page.fill("#filter", "standin-7")
    expect(page.locator("#calls-note")).to_have_text("11 of 101 live calls")


def test_a_page_without_a_relay_has_no_data_and_says_so(visit: Visit, rig: Rig, errors: list[str]) -> None:
    page = visit("about:blank")
    page.route("**/events", lambda route: route.abort())
    page.goto(rig.address)
    expect(page.locator("#connection")).to_contain_text("No data: the relay does not answer.")
    expect(page.locator("#result")).to_have_text("No verdict yet")
    errors.clear()
