"""The operator's page: conditions in words with their remedy, relays with verdict and link, texts without markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtppool_core.contract.report import EchoReport, Report
from rtppool_operator.page import page as page_module
from rtppool_operator.page.page import PoolsPage, condition_rows
from rtppool_operator.pools.spec import Pool
from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.figures import figures
from rtppool_operator.status.memory import PoolView

Seen = Callable[..., PoolObservation]
MakeReport = Callable[..., Report]
HOSTILE = "<script>alert('x')</script>\""


def view_of(observation: PoolObservation) -> PoolView:
    found = add_times(conditions(observation), [], 3, "2026-01-01T00:00:00Z")
    return PoolView(observation, {**figures(observation), "conditions": found})


def text_of(shown: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown))


def test_a_healthy_pool_has_its_conditions_and_a_link_to_each_relays_live_page(
    seen: Seen, pool: Pool, make_report: MakeReport
) -> None:
    observation = seen(make_report(pool), make_report(pool))
    shown = PoolsPage("http").render([view_of(observation)], ())
    assert "voice/default" in shown
    assert "✓ True" in shown
    assert "2 of 2 relays run this generation" in text_of(shown)
    assert 'class="state bad"' not in shown
    for relay in observation.relays:
        assert f'href="http://{relay.pod.address}:{relay.pod.port}/"' in shown


def test_a_fault_has_its_message_and_the_remedy(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    report = make_report(pool, echo=EchoReport("127.0.0.1", 4000, reachable=False, reason="no packet came back"))
    text = text_of(PoolsPage("http").render([view_of(seen(report))], ()))
    assert "EchoReachable Unreachable ✗ False" in text
    assert "Check the echo's pod, echo.host and echo.port, and firewalls for UDP." in text.replace("&#39;", "'")


def test_a_pool_without_relays_is_unknown_and_has_no_figure(seen: Seen) -> None:
    shown = PoolsPage("http").render([view_of(seen())], ())
    assert "? Unknown" in shown
    assert "Label nodes, or check the relay DaemonSet" in text_of(shown)


def test_without_a_pool_or_with_a_problem_the_page_says_so() -> None:
    text = text_of(PoolsPage("http").render((), ("rtp/operator-2 holds the lease",)))
    assert "No pool is known to this operator yet." in text
    assert "rtp/operator-2 holds the lease" in text


def test_addresses_are_links_by_the_releases_scheme(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    observation = seen(make_report(pool))
    (relay,) = observation.relays
    over_ipv6 = replace(relay, pod=replace(relay.pod, address="fd00::1", port=9090))
    shown = PoolsPage("https").render([view_of(replace(observation, relays=(over_ipv6,)))], ())
    assert 'href="https://[fd00::1]:9090/"' in shown
    pending = replace(relay, pod=replace(relay.pod, address=None), report=None)
    shown = PoolsPage("https").render([view_of(replace(observation, relays=(pending,)))], ())
    assert "https://" not in shown
    assert "no report yet" in shown


def test_texts_of_relays_are_no_markup(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    report = make_report(pool, not_ready=(HOSTILE,), ready=False)
    shown = PoolsPage("http").render([view_of(seen(report))], (HOSTILE,))
    assert shown.count("<script") == 1
    assert "&lt;script&gt;" in shown


def test_ready_is_the_first_condition() -> None:
    given: list[dict[str, Any]] = [
        {"type": kind, "status": "False", "reason": "x", "message": ""} for kind in ("Accepted", "Draining", "Ready")
    ]
    assert [(row["type"], row["state"]) for row in condition_rows(given)] == [
        ("Ready", "bad"),
        ("Accepted", "bad"),
        ("Draining", "good"),
    ]


@pytest.mark.parametrize("word", ["innerHTML", "eval(", "style=", "onclick="])
def test_scripts_and_templates_have_nothing_inline(word: str) -> None:
    folder = Path(page_module.__file__).parent
    for file in (*folder.glob("static/*.js"), *folder.glob("templates/*.html")):
        assert word not in file.read_text()
