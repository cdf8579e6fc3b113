"""Each control of the live page, its keyboard, and the rules of accessibility."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from rig import Rig

from conftest import DESKTOP, PHONE

pytestmark = pytest.mark.timeout(180)
Visit = Callable[..., Page]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

# Resolves after this many seconds of a stream of its own.
SECONDS_OF_THE_STREAM = """wanted => new Promise(done => {
  const stream = new EventSource("/events");
  stream.addEventListener("second", () => { if ((wanted -= 1) === 0) { stream.close(); done(); } });
})"""


def open_live(visit: Visit, rig: Rig, query: str = "", size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Page:
    page = visit(rig.address + query, size, scheme)
    expect(page.locator("#connection")).to_have_text("Live: figures of each second.")
    expect(page.locator("#calls-body tr").first).to_be_visible()
    return page


def names(page: Page) -> list[str]:
    return page.locator("#calls-body .open").all_inner_texts()


def test_a_head_sorts_up_and_down_and_the_address_keeps_the_order(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    head = page.locator("#calls-head th").first
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    upwards = names(page)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert names(page) == upwards[::-1]
    assert page.url.endswith("?sort=-call")
    page.reload()
    expect(page.locator("#calls-head th").first).to_have_attribute("aria-sort", "descending")
    expect(page.locator("#calls-body tr")).to_have_count(6)
    assert names(page) == upwards[::-1]


def test_the_filter_finds_calls_and_ports_and_the_address_keeps_it(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.fill("#filter", str(rig.range.start + 2))
    expect(page.locator("#calls-body tr")).to_have_count(1)
    expect(page.locator("#calls-note")).to_have_text("1 of 6 live calls")
    page.reload()
    expect(page.locator("#filter")).to_have_value(str(rig.range.start + 2))
    expect(page.locator("#calls-body tr")).to_have_count(1)
    page.fill("#filter", "nothing has this name")
    expect(page.locator("#calls-body tr")).to_have_count(0)


def test_only_calls_without_sound_are_none_here(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.select_option("#only", "silent")
    expect(page.locator("#calls-note")).to_have_text("0 of 6 live calls")


def test_source_and_time_shown_follow_the_choice_and_the_address(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.select_option("#source", "probe")
    expect(page.locator("#source-note")).to_contain_text("come from the probe")
    page.select_option("#span", "60")
    expect(page.locator("#cursor")).to_have_attribute("max", "59")
    assert "source=probe" in page.url
    assert "span=60" in page.url


def test_pause_stops_all_changes_until_go_on(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.click("#pause")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    shown = page.locator("#readout").inner_text()
    page.evaluate(SECONDS_OF_THE_STREAM, 3)
    assert page.locator("#readout").inner_text() == shown
    page.click("#pause")
    expect(page.locator("#readout")).not_to_have_text(shown)


def test_the_cursor_reads_an_earlier_second(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig, "?span=60")
    expect(page.locator("#readout")).to_contain_text("median")
    page.locator("#cursor").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#bands line.cursor")).to_have_count(1)
    expect(page.locator("#cursor")).to_have_attribute("aria-valuetext", re.compile("median|nothing"))
    assert page.locator("#readout time").get_attribute("title").endswith(" UTC")


def test_a_call_opens_with_its_histograms_and_seconds_and_closes(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.locator("#calls-body .open").first.click()
    detail = page.locator("#detail")
    expect(detail).to_be_visible()
    expect(detail).to_be_focused()
    expect(page.locator("#detail-figures")).to_contain_text("Round trip, median")
    expect(page.locator("#detail-bands path.p50")).to_have_count(1)
    expect(page.locator("#detail-distribution path.roundtrip")).to_have_count(1)
    assert "call=standin-" in page.url
    rig.echo.loss = 0.3
    expect(page.locator("#detail-list")).to_contain_text(re.compile(r"\d+ lost"))
    expect(page.locator("#detail-events path.part.lost")).to_have_count(1)
    page.click("#detail-close")
    expect(detail).to_be_hidden()
    expect(page.locator("#calls")).to_be_focused()


def test_a_leased_port_of_the_map_opens_its_call(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.locator("#ports .port.leased").nth(1).click()
    expect(page.locator("#detail")).to_be_visible()


def test_an_unknown_call_of_a_link_is_named_as_forgotten(visit: Visit, rig: Rig, errors: list[str]) -> None:
    page = open_live(visit, rig, "?call=no-such-call")
    expect(page.locator("#detail-note")).to_contain_text("the relay has forgotten it")
    errors[:] = [each for each in errors if "404" not in each]


@pytest.mark.parametrize(("button", "name"), [("#calls-csv", "calls.csv"), ("#history-csv", "history-calls.csv")])
def test_a_csv_file_has_the_rows_that_are_shown(visit: Visit, rig: Rig, button: str, name: str) -> None:
    page = open_live(visit, rig)
    page.fill("#filter", "standin-1")
    with page.expect_download() as saved:
        page.click(button)
    assert saved.value.suggested_filename == name
    lines = Path(saved.value.path()).read_text().splitlines()
    assert len(lines) == 2 if name == "calls.csv" else len(lines) > 2
    assert lines[0].split(",")[0] in {"call", "at_unix_seconds"}


def test_a_json_file_has_what_is_shown(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.fill("#filter", "standin-2")
    with page.expect_download() as saved:
        page.click("#calls-json")
    (call,) = json.loads(Path(saved.value.path()).read_text())
    assert (call["call"], call["state"]) == ("standin-2", "talking")
    with page.expect_download() as saved:
        page.click("#history-json")
    assert json.loads(Path(saved.value.path()).read_text())[-1]["packets"] > 0


def test_ended_calls_can_be_opened_and_saved(visit: Visit, start: Callable[..., Rig]) -> None:
    page = open_live(visit, start(calls=4, ports=3))
    row = page.locator("#ended-body tr").first
    expect(row).to_contain_text("refused: NoFreePort")
    with page.expect_download() as saved:
        page.click("#ended-csv")
    assert "NoFreePort" in Path(saved.value.path()).read_text().splitlines()[1]
    with page.expect_download() as saved:
        page.click("#ended-json")
    assert json.loads(Path(saved.value.path()).read_text())[0]["refused"] is True
    row.get_by_role("button").click()
    expect(page.locator("#detail")).to_be_focused()
    expect(page.locator("#detail-note")).to_contain_text("Refused: ")


def test_the_keyboard_alone_reaches_every_control_and_opens_and_closes_a_call(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    wanted = {"source", "span", "pause", "cursor", "history-csv", "history-json", "filter", "only"}
    wanted |= {"calls-csv", "calls-json"}
    reached: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.id || document.activeElement.className")
        reached.add(focused)
        if focused == "open":
            break
    assert wanted <= reached
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#detail-close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#calls")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", ["/?call=standin-1", "/sla"])
def test_axe_finds_no_violation(
    visit: Visit, rig: Rig, axe: str, size: tuple[int, int], scheme: str, path: str
) -> None:
    page = open_live(visit, rig, path, size, scheme) if path != "/sla" else visit(rig.address + path, size, scheme)
    if path != "/sla":
        expect(page.locator("#detail-figures")).to_contain_text("Round trip, median")
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(rules)", RULES)
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found["violations"]] == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]


def test_live_regions_change_only_with_connection_and_verdict(visit: Visit, rig: Rig) -> None:
    page = open_live(visit, rig)
    regions = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    assert sorted(regions.evaluate_all("all => all.map(each => each.id)")) == ["connection", "result"]


def test_the_policy_refuses_an_inline_script_and_a_foreign_host(visit: Visit, rig: Rig, errors: list[str]) -> None:
    page = open_live(visit, rig)
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
        }"""
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in errors)
    errors.clear()
