"""The page as a browser parses it: every tag closed, every figure of the JSON on it, no inline style."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace
from snapshots import (
    ABOVE,
    BY_HOST,
    EACH,
    HOST_JUDGED,
    MET,
    NOTHING,
    PROBE_ALONE,
    VIOLATED,
    snapshot,
    window,
    with_report,
)

from rtppool_core.contract.report import AriReport, ClockReport, EchoReport, PoolReference
from rtppool_core.pages.templates import Templates
from rtppool_relay.http.page.page import PACKAGE, render_report
from rtppool_relay.http.sla_document import sla_document
from rtppool_relay.http.snapshot import Snapshot

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = "<script>alert('x')</script>&\"'><img src=//evil.example>"


@dataclass
class Page(HTMLParser):
    """The elements, attributes and text that a browser finds. Fails on a tag that is not closed."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        assert self.open_tags == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag
        if tag not in {"data", "time", "code", "a"}:
            self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] != "style":
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.pieces)).strip()

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attributes.get(attribute) or "" for name, attributes in self.elements if name == tag]


def page_of(shown: Snapshot) -> Page:
    return Page(render_report(Templates(PACKAGE), shown))


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, held in value.items():
            yield from leaves(held, f"{place}.{name}")
    elif isinstance(value, list):
        for at, held in enumerate(value):
            yield from leaves(held, f"{place}[{at}]")
    else:
        yield place, value


@EACH
def test_every_figure_of_the_json_is_on_the_page(shown: Snapshot) -> None:
    page = page_of(shown)
    document = sla_document(shown)
    values = Counter(page.all("data", "value"))
    wanted: Counter[str] = Counter()
    for place, value in leaves(document):
        if place.endswith("UnixSeconds"):
            assert f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}" in page.all("time", "datetime"), place
        elif place == ".aboveTiers":
            assert ("above the last tier" in page.text) is value
        elif place == ".limits.judgeHost":
            assert ("Delay by the host counts as well." in page.text) is value
        elif place.endswith(".present"):
            assert isinstance(value, bool), place  # a missing witness has its reason as text
        elif place.startswith((".violations", ".unreachableTiers")) and not isinstance(value, str):
            assert str(value) in values, place
        elif isinstance(value, str):
            assert value in page.text, place
        elif not place.startswith((".tierUpToCalls", ".checks")):
            wanted[str(value)] += 1
    assert wanted <= values
    for check in document["checks"]:
        assert check.get("measured") is None or str(check["measured"]) in values


@EACH
def test_the_page_loads_the_relays_style_sheets_alone_and_has_no_script(shown: Snapshot) -> None:
    page = page_of(shown)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "style", "img", "iframe", "object", "form", "base"})
    names = {name for _, attributes in page.elements for name in attributes}
    assert names.isdisjoint({"style", "src", "srcset", "action", "ping", "xlink:href"})
    assert not [name for name in names if name.startswith("on")]
    assert page.all("link", "href") == ["/static/base.css", "/static/components.css"]
    assert set(page.all("a", "href")) == {"/status", "/calls", "/metrics"}
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert "//" not in page.source.replace("<!DOCTYPE html>", "")


def test_the_verdict_comes_first_with_the_reason_as_sentences() -> None:
    text = page_of(VIOLATED).text
    assert text.startswith("SLA Violated: worker-1")
    before_the_limits = text[: text.index("Limits of calls")]
    for sentence in (
        "✗ Violated",
        "Longest round trip: 23.001 ms, accepted is 22 ms.",
        "Late and judged: 0.18 %, accepted is 0.1 %.",
        "Lost between relay and echo: 0.3 %, accepted is 0.2 %.",
        "20 calls active: the limits of the tier up to 30 calls apply.",
    ):
        assert sentence in before_the_limits


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (MET, "✓ Met Every limit is met."),
        (PROBE_ALONE, "No call was measured in the window. The probe's figures are shown and never judged."),
        (snapshot(), "20 calls active, but the relay sent no packet of a call to the echo in the window."),
        (
            snapshot(window(packets=1)),
            "Too few round trips to judge: 1 round trip measured of 1 packet of calls, a verdict needs 1,000.",
        ),
        (ABOVE, "160 calls active: above the last tier, whose limits apply (up to 150 calls)."),
        (VIOLATED, "Source: arrived late from Asterisk 5,000 (10 %) 1"),
        (VIOLATED, "Relay: delayed in this relay 30 (0.06 %) 0"),
        (VIOLATED, "Echo: delayed in the echo, or in the network to and from it 60 (0.12 %) 0"),
        (VIOLATED, "Host: the machine took the processor away not measured not measured"),
        (VIOLATED, "Judged without the host's part: arrived in time, or made late by relay and echo 90 (0.18 %) 0"),
        (BY_HOST, "Host: the machine took the processor away 300 (0.6 %) not measured"),
        (BY_HOST, "0.67 % late; the hypervisor took 3.0 s of this machine's 122 s of CPU; all late packets lie in"),
        (BY_HOST, "The hypervisor took processors steal 3,020 ms"),
        (BY_HOST, "A CPU limit of this container held it back throttling this process is in the root control group"),
        (HOST_JUDGED, "Late and judged, with the host's time: 0.664 %, accepted is 0.1 %."),
        (HOST_JUDGED, "Judged arrived in time, or made late by relay, echo and host 332 (0.664 %) not measured"),
        (
            VIOLATED,
            "150 calls can't be reached, because the range 10000-10100 has 101 ports. This tier holds at 101 calls",
        ),
        (VIOLATED, "Capacity: 101 calls at a time."),
        (VIOLATED, "up to 150 calls, out of reach"),
        (VIOLATED, "2026-09-21 14:13:20 UTC"),
        (PROBE_ALONE, "Round trips of the probe, never judged"),
        (NOTHING, "Window from not measured not measured"),
        (PROBE_ALONE, "Answered not measured 600"),
    ],
)
def test_the_page_states_it_in_a_sentence(shown: Snapshot, sentence: str) -> None:
    assert sentence in page_of(shown).text


def test_a_share_of_late_packets_is_rounded_up_as_the_judged_share_is() -> None:
    shown = snapshot(window(packets=19_999, source=0, relay=20, echo=0))
    assert "20 (0.1001 %)" in page_of(shown).text


def test_without_any_measurement_there_is_no_plot() -> None:
    assert "plot" not in page_of(NOTHING).all("svg", "class")
    assert "plot" in page_of(MET).all("svg", "class")


def test_every_fault_that_may_spoil_the_figures_stands_with_the_verdict() -> None:
    troubled = with_report(
        MET,
        ready=False,
        not_ready=("0 of 1 media processes are up",),
        config_error="pools.json is not JSON",
        ari=AriReport("Unreachable", 3, reason="nothing answers on 8088"),
        echo=EchoReport("127.0.0.1", 4000, reachable=False, reason="no packet came back"),
        clock=ClockReport("user", 0, 0, reason="the kernel gives no stamps"),
    )
    page = page_of(troubled)
    for sentence in (
        "0 of 1 media processes are up",
        "Configuration: pools.json is not JSON",
        "Asterisk: nothing answers on 8088",
        "Echo: no packet came back",
        "Clock: the kernel gives no stamps",
    ):
        assert sentence in page.text[: page.text.index("Limits of calls")]


def test_hostile_text_is_shown_and_is_no_markup() -> None:
    hostile = with_report(
        VIOLATED,
        relay=HOSTILE,
        node=HOSTILE,
        pool=PoolReference(HOSTILE, HOSTILE, "u"),
        not_ready=(HOSTILE,),
        config_error=HOSTILE,
        echo=EchoReport(HOSTILE, 4000, HOSTILE, reachable=False, reason=HOSTILE),
        software_version="{{ 7 * 7 }}" + HOSTILE,
    )
    page, usual = (
        page_of(hostile),
        page_of(with_report(VIOLATED, not_ready=("x",), config_error="x", echo=hostile.report.echo)),
    )
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in usual.elements]
    assert page.text.count(HOSTILE) == 10
    assert "{{ 7 * 7 }}" in page.text


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"shared": 2}, "2 calls with a third channel in the bridge: Asterisk mixes every 20 ms"),
        ({"silent": 1}, "1 call without a packet from Asterisk"),
        ({"one_way": 3}, "3 calls with packets from Asterisk and none on the way back"),
    ],
)
def test_calls_that_distort_the_figures_are_named(odd: dict[str, int], sentence: str) -> None:
    shown = with_report(VIOLATED, calls=replace(VIOLATED.report.calls, **odd))
    assert [remark.startswith(sentence) for remark in sla_document(shown)["remarks"]] == [True]
    assert sentence in page_of(shown).text
    assert sentence not in page_of(VIOLATED).text
    assert sla_document(VIOLATED)["remarks"] == []
