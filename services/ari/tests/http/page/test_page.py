"""The page is read as a browser would: tags closed, every figure of the JSON on it, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import (
    AriReport,
    CallsReport,
    ClockReport,
    EchoReport,
    LateByCause,
    MediaReport,
    PoolReference,
    PortsReport,
    Report,
    WindowReport,
    Windows,
    export_histogram,
)
from rtppool_relay.figures.capacity import Capacity
from rtppool_relay.figures.sla import judge
from rtppool_relay.http.page.page import SlaPage
from rtppool_relay.http.page.windows import figure_text, spelled
from rtppool_relay.http.routes import routes
from rtppool_relay.http.sla_document import sla_document
from rtppool_relay.streams.slices import Slice

MS = 1_000_000
LIMITS = SlaLimits()
VOID = {"meta", "link", "br", "img", "input", "hr"}
START = 1_790_000_000
HOSTILE = "<script>alert('x')</script>&\"'><img src=//evil.example>"


def window(packets: int = 50_000, lost: int = 0, longest_ns: int = 9 * MS, **late: int) -> tuple[Slice, WindowReport]:
    figures = Slice(packets=packets, answered=packets - lost, **{f"late_{cause}": late[cause] for cause in late})
    for at in range(1000):
        figures.round_trip.record(80_000 + at * 700)
        figures.residence.record(30_000 + at * 90)
    figures.round_trip.record(longest_ns)
    return figures, WindowReport(
        start_unix_seconds=START,
        end_unix_seconds=START + 60,
        packets=packets,
        answered=packets - lost,
        lost=lost,
        late=LateByCause(**late),
        reordered=3,
        duplicates=2,
        too_late=1,
        source_lost=4,
        jitter_microseconds=413,
        round_trip=export_histogram(figures.round_trip),
        residence=export_histogram(figures.residence),
    )


def report(
    calls: tuple[Slice, WindowReport] | None = None,
    probe: WindowReport | None = None,
    active_calls: int = 20,
    limits: SlaLimits = LIMITS,
    capacity: Capacity | None = None,
) -> Report:
    figures, of_calls = calls if calls is not None else (Slice(), None)
    return Report(
        relay="rtp-relay-x7",
        node="worker-1",
        software_version="0.1.0",
        ready=True,
        not_ready=(),
        draining=False,
        ports=PortsReport("10000-10100", 101, 81, 20, 0, 0, 0, 0),
        calls=CallsReport(active_calls, 20, 0, 0, 0, {}),
        ari=AriReport("Connected", 0),
        media=MediaReport(1, 1, 0, 0, {}),
        clock=ClockReport("kernel", 0, 0),
        echo=EchoReport("127.0.0.1", 4000, "127.0.0.1:4000", reachable=True),
        sla=judge(figures, active_calls, limits, capacity),
        windows=Windows(of_calls, probe),
        pool=PoolReference("default", "voice", "u-1"),
    )


VIOLATED = report(
    window(lost=150, longest_ns=23 * MS + 1, source=5000, relay=30, echo=60),
    window(packets=600, source=1, relay=0, echo=0)[1],
    capacity=Capacity(101, "the range 10000-10100 has 101 ports"),
)
MET = report(window(source=0, relay=0, echo=0), window(packets=600)[1])
ABOVE = report(window(), active_calls=160)
PROBE_ALONE = report(None, window(packets=600)[1], active_calls=0)
NOTHING = report(None, None, active_calls=0)
WITHOUT_TIERS = report(window(), limits=SlaLimits(tiers=()))
EACH = pytest.mark.parametrize(
    ("shown", "limits"),
    [
        pytest.param(VIOLATED, LIMITS, id="violated"),
        pytest.param(MET, LIMITS, id="met"),
        pytest.param(ABOVE, LIMITS, id="above the tiers"),
        pytest.param(PROBE_ALONE, LIMITS, id="the probe alone"),
        pytest.param(NOTHING, LIMITS, id="nothing measured"),
        pytest.param(WITHOUT_TIERS, SlaLimits(tiers=()), id="no tiers"),
        pytest.param(report(window(packets=5)), LIMITS, id="too few"),
    ],
)


@dataclass
class Page(HTMLParser):
    """What a browser finds: elements with their attributes, values, text. Fails on a tag that is not closed."""

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


def page_of(shown: Report, limits: SlaLimits = LIMITS) -> Page:
    return Page(SlaPage.load().render(shown, limits))


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
def test_every_figure_of_the_json_is_on_the_page(shown: Report, limits: SlaLimits) -> None:
    page = page_of(shown, limits)
    document = sla_document(shown, limits)
    values = Counter(page.all("data", "value"))
    wanted: Counter[str] = Counter()
    for place, value in leaves(document):
        if place.endswith("UnixSeconds"):
            assert f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}" in page.all("time", "datetime"), place
        elif place == ".aboveTiers":
            assert ("above the last tier" in page.text) is value
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
def test_the_page_takes_nothing_from_elsewhere_and_runs_nothing(shown: Report, limits: SlaLimits) -> None:
    page = page_of(shown, limits)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "img", "iframe", "object", "form", "base"})
    names = {name for _, attributes in page.elements for name in attributes}
    assert names.isdisjoint({"style", "src", "srcset", "action", "ping", "xlink:href"})
    assert not [name for name in names if name.startswith("on")]
    assert set(page.all("a", "href")) == {"/status", "/calls", "/metrics"}
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert "//" not in page.source.replace("<!DOCTYPE html>", "")


def test_the_policy_allows_exactly_the_pages_own_style_sheet() -> None:
    page = SlaPage.load()
    styles = re.findall(r"<style>(.*?)</style>", page.render(MET, LIMITS), re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
    assert page.content_security_policy == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    assert len(digests) == 1


def test_the_verdict_comes_first_with_the_reason_in_words() -> None:
    text = page_of(VIOLATED).text
    assert text.startswith("SLA Violated: worker-1")
    before_the_limits = text[: text.index("Limits of calls")]
    for sentence in (
        "✗ Violated",
        "Longest round trip: 23.001 ms, accepted is 22 ms.",
        "Late by relay or echo: 0.18 %, accepted is 0.1 %.",
        "Lost between relay and echo: 0.3 %, accepted is 0.2 %.",
        "20 calls active: the limits of the tier up to 30 calls hold.",
    ):
        assert sentence in before_the_limits


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (MET, "✓ Met Every limit is kept."),
        (PROBE_ALONE, "No call was measured in the window. The probe's figures are shown, never judged."),
        (report(None, None), "20 calls active, but no packet of a call has gone to the echo in the window."),
        (report(window(packets=1)), "Too little to judge: 1 packet of calls, a verdict takes 1,000."),
        (ABOVE, "160 calls active: above the last tier, whose limits hold all the same (up to 150 calls)."),
        (VIOLATED, "Source: came late from Asterisk not judged 5,000 (10 %) 1"),
        (VIOLATED, "Relay: held in this relay judged 30 (0.06 %) 0"),
        (VIOLATED, "Echo: in it, or in the network there and back judged 60 (0.12 %) 0"),
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
def test_it_is_said_in_words(shown: Report, sentence: str) -> None:
    assert sentence in page_of(shown).text


def test_without_any_measurement_there_is_no_plot() -> None:
    assert "plot" not in page_of(NOTHING).all("svg", "class")
    assert "plot" in page_of(MET).all("svg", "class")


def test_what_else_is_wrong_stands_beside_the_verdict() -> None:
    troubled = replace(
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
    hostile = replace(
        VIOLATED,
        relay=HOSTILE,
        node=HOSTILE,
        pool=PoolReference(HOSTILE, HOSTILE, "u"),
        not_ready=(HOSTILE,),
        config_error=HOSTILE,
        echo=EchoReport(HOSTILE, 4000, HOSTILE, reachable=False, reason=HOSTILE),
        software_version="${body}" + HOSTILE,
    )
    page, usual = page_of(hostile), page_of(replace(VIOLATED, not_ready=("x",), config_error="x", echo=hostile.echo))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in usual.elements]
    assert page.text.count(HOSTILE) == 10
    assert "${body}" in page.text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("p99Microseconds", 24_117, "24.117 ms"),
        ("p50Microseconds", 184, "184 µs"),
        ("bursts.burstNs", 40_000_000, "40 ms"),
        ("lossPpm", 1_500, "0.15 %"),
        ("lossPpm", 1, "0.0001 %"),
        ("lossPpm", 0, "0 %"),
        ("skewPpm", -37, "-37 ppm"),
        ("estimatedMos", 4.41, "4.41"),
        ("packets", 1_234_567, "1,234,567"),
        ("stamps", "kernel", "kernel"),
        ("known", True, "True"),
    ],
)
def test_a_figure_has_the_unit_that_its_name_ends_with(name: str, value: Any, text: str) -> None:
    assert figure_text(name, value) == text


def test_a_figure_without_a_name_here_is_spelled_out() -> None:
    assert spelled("burst.lossDensityPpm") == "Burst loss density"
    assert spelled("echoResidenceP99Microseconds") == "Echo residence p99"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    app = web.Application()
    for path, handler in routes(lambda: VIOLATED, lambda: LIMITS, list, list).items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ([], "application/json"),
        ([("Accept", "application/json, text/html;q=0.9")], "application/json"),
        ([("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")], "text/html"),
        # Several header lines are one list.
        ([("Accept", "application/json;q=0.5"), ("Accept", "text/html")], "text/html"),
    ],
)
async def test_the_form_follows_the_accept_header_and_caches_are_told(
    address: str, headers: list[tuple[str, str]], content_type: str
) -> None:
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Accept"]) as http,
        http.get(f"{address}/sla", headers=headers) as answer,
    ):
        assert (answer.status, answer.content_type, answer.charset) == (200, content_type, "utf-8")
        assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Accept", "no-store")
        if content_type == "application/json":
            assert await answer.json() == sla_document(VIOLATED, LIMITS)
        else:
            page = SlaPage.load()
            assert await answer.text() == page.render(VIOLATED, LIMITS)
            assert answer.headers["Content-Security-Policy"] == page.content_security_policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_half_a_surrogate_pair_in_a_name_breaks_no_page() -> None:
    broken = replace(MET, node="worker-\ud800")
    app = web.Application()
    app.router.add_get("/sla", routes(lambda: broken, lambda: LIMITS, list, list)["/sla"])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/sla"
    async with aiohttp.ClientSession() as http, http.get(url, headers={"Accept": "text/html"}) as answer:
        assert "Media quality of worker-?" in await answer.text()
    await runner.cleanup()


def test_the_document_has_the_figures_in_the_units_of_the_limits() -> None:
    document = sla_document(VIOLATED, LIMITS)
    assert document["message"].startswith("Longest round trip: 23.001 ms, accepted is 22 ms. Late by")
    assert document["checks"][3] == {"limit": "maxRttMicroseconds", "accepted": 22_000, "measured": 23_001}
    assert document["violations"] == [check for check in document["checks"] if check["measured"] > check["accepted"]]
    assert (document["capacityCalls"], document["unreachableTiers"][0]["upToCalls"]) == (101, 150)
    assert (document["calls"]["maxMicroseconds"], document["calls"]["lossPpm"], document["calls"]["latePpm"]) == (
        23_001,
        3_000,
        1_800,
    )
    assert document["calls"]["residenceMaxMicroseconds"] == 120
    assert not {"roundTrip", "residence"} & set(document["calls"])


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"shared": 2}, "2 calls with a third channel in the bridge: Asterisk mixes there every 20 ms"),
        ({"silent": 1}, "1 call without a packet from Asterisk"),
        ({"one_way": 3}, "3 calls of which packets come from Asterisk and nothing goes back"),
    ],
)
def test_calls_that_make_the_figures_odd_are_named(odd: dict[str, int], sentence: str) -> None:
    shown = replace(VIOLATED, calls=replace(VIOLATED.calls, **odd))
    assert [remark.startswith(sentence) for remark in sla_document(shown, LIMITS)["remarks"]] == [True]
    assert sentence in page_of(shown).text
    assert sentence not in page_of(VIOLATED).text
    assert sla_document(VIOLATED, LIMITS)["remarks"] == []


def test_without_calls_the_checks_have_no_figures_and_the_window_is_absent() -> None:
    document = sla_document(PROBE_ALONE, LIMITS)
    assert "calls" not in document
    assert [sorted(check) for check in document["checks"]] == [["accepted", "limit"]] * 6
    assert document["probe"]["packets"] == 600
