from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from snapshots import MET, VIOLATED, with_report
from yarl import URL

from rtppool_core.contract.packet_check import Burst, PacketCheck
from rtppool_core.pages.static_files import CONTENT_SECURITY_POLICY
from rtppool_core.pages.templates import Templates
from rtppool_relay.http.page.page import PACKAGE, render_report
from rtppool_relay.http.routes import MAX_ACCEPT_CHARACTERS, make_routes, prefer, weigh
from rtppool_relay.http.sla_document import sla_document

OFFERED = ("application/json; charset=utf-8", "text/html; charset=utf-8")
JSON, HTML = OFFERED
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


async def no_status(_request: web.Request) -> web.StreamResponse:
    raise NotImplementedError


async def no_check() -> PacketCheck:
    return PacketCheck("node-1", Burst("127.0.0.1:4000"))


@pytest.mark.parametrize(
    ("media_type", "weight"),
    [
        ("text/html;level=1", 1),
        ("text/html", 0.7),
        ("text/plain", 0.3),
        ("image/jpeg", 0.5),
        ("text/html;level=2", 0.4),
        ("text/html;level=3", 0.7),
    ],
)
def test_weights_are_those_of_the_example_in_rfc_7231(media_type: str, weight: float) -> None:
    header = "text/*;q=0.3, text/html;q=0.7, text/html;level=1, text/html;level=2;q=0.4, */*;q=0.5"
    assert weigh(header, media_type) == weight


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        # No header, or equal weights: JSON, as curl and monitors expect.
        ("", JSON),
        ("*/*", JSON),
        ("text/html, application/json", JSON),
        ("application/json, text/html", JSON),
        ("text/html;q=0.5, application/json;q=0.5", JSON),
        # A browser.
        (FIREFOX, HTML),
        ("text/html", HTML),
        ("TEXT/HTML", HTML),
        ("text/*", HTML),
        ("text/html;charset=utf-8", HTML),
        ("text/html, */*", JSON),
        ("text/html, */*;q=0.9", HTML),
        ("text/html;q=0.2, */*;q=0.1", HTML),
        # A program that prefers JSON, in any order.
        ("application/json", JSON),
        ("application/json, text/html;q=0.9", JSON),
        ("text/html;q=0.9, application/json", JSON),
        ("application/json, text/plain, */*", JSON),
        ("text/html;q=0.9, application/*;q=0.95", JSON),
        # 0 is «not acceptable», and the more specific range counts.
        ("application/json;q=0, */*", HTML),
        ("text/html;q=0, */*", JSON),
        ("text/html;q=0", JSON),
        ("text/*;q=1, text/html;q=0.1, application/json;q=0.2", JSON),
        # A form of HTML that the relay does not offer.
        ("text/html;level=1, application/json;q=0.1", JSON),
        ("application/xhtml+xml, application/json;q=0.1", JSON),
        # A type that the relay does not offer, and malformed ranges.
        ("image/png", JSON),
        ("text/html;q=2", JSON),
        ("text/html;q=0.1234, application/json;q=0.1", JSON),
        ("text/html;q=, application/json;q=0.1", JSON),
        ("text/html;q=x, application/json;q=0.1", JSON),
        ("html", JSON),
        ("/html, text/", JSON),
        (",, ,text/html,", HTML),
        # A media type inside a quoted parameter does not count.
        ('application/json;note="text/html, text/html;q=1", text/html;q=0.1', HTML),
        ("application/json;note=text/html", JSON),
    ],
)
def test_the_answer_is_the_form_that_the_client_prefers(accept: str, answer: str) -> None:
    assert prefer(accept, OFFERED) == answer


@given(st.one_of(st.text(), st.text(alphabet="textml/*;,q=01.\"\\ %'-8:", max_size=60)))
@example("\udc80/html;q=\udcff")
def test_any_header_gets_an_answer(accept: str) -> None:
    assert prefer(accept, OFFERED) in OFFERED


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_higher_weight_wins_in_any_order(json_weight: int, html_weight: int) -> None:
    ranges = [f"application/json;q={json_weight / 1000:.3f}", f"text/html;q={html_weight / 1000:.3f}"]
    answer = HTML if html_weight > json_weight else JSON
    assert prefer(",".join(ranges), OFFERED) == prefer(",".join(reversed(ranges)), OFFERED) == answer


@pytest.fixture
async def address() -> AsyncIterator[str]:
    app = web.Application()
    for path, handler in make_routes(lambda: VIOLATED, no_status, list, list, no_check).items():
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
async def test_the_form_follows_the_accept_header_and_caches_learn_of_it(
    address: str, headers: list[tuple[str, str]], content_type: str
) -> None:
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Accept"]) as http,
        http.get(f"{address}/sla", headers=headers) as answer,
    ):
        assert (answer.status, answer.content_type, answer.charset) == (200, content_type, "utf-8")
        assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Accept", "no-store")
        if content_type == "application/json":
            assert await answer.json() == sla_document(VIOLATED)
        else:
            assert await answer.text() == render_report(Templates(PACKAGE), VIOLATED)
            assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_half_a_surrogate_pair_in_a_name_breaks_no_page() -> None:
    broken = with_report(MET, node="worker-\ud800")
    app = web.Application()
    app.router.add_get("/sla", make_routes(lambda: broken, no_status, list, list, no_check)["/sla"])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/sla"
    async with aiohttp.ClientSession() as http, http.get(url, headers={"Accept": "text/html"}) as answer:
        assert "Media quality of worker-?" in await answer.text()
    await runner.cleanup()


async def test_no_more_than_the_beginning_of_an_accept_header_is_read(address: str) -> None:
    far = "a/b," * (MAX_ACCEPT_CHARACTERS // 4)
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{address}/sla", headers={"Accept": far[8:] + "text/html"}) as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
        async with http.get(f"{address}/sla", headers={"Accept": far[16:] + "text/html"}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")


@pytest.mark.parametrize("accept", [b"text/html;q=\xff", b"\xff/\xfe", b"\xed\xa0\x80", b'text/html;a="\xc3'])
async def test_an_accept_header_of_any_bytes_gets_the_document(address: str, accept: bytes) -> None:
    url = URL(address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET /sla HTTP/1.0\r\nAccept: %s\r\n\r\n" % accept)
    assert (await reader.readline()).startswith(b"HTTP/1.0 200")
    writer.close()


async def test_the_live_page_is_at_the_root_and_names_its_node(address: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(address) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<title>Live: worker-1</title>" in await answer.text()


@pytest.mark.parametrize("name", ["base.css", "components.css", "live.css", "live.js", "stream.js"])
async def test_the_pages_files_are_the_relays_own(address: str, name: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{address}/static/{name}") as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
