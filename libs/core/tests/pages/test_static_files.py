from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from rtppool_core.pages.static_files import CONTENT_SECURITY_POLICY, StaticFiles, page_response, read_files

REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async def page(_request: web.Request) -> web.StreamResponse:
        return page_response("<!DOCTYPE html><title>x\ud800</title>")

    app = web.Application()
    app.router.add_get("/", page)
    for path, handler in StaticFiles([]).routes().items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_file_has_its_type_and_a_browser_keeps_it_while_its_content_is_the_same(address: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{address}/static/base.css") as first:
            assert (first.status, first.content_type) == (200, "text/css")
            assert first.headers["Cache-Control"] == "no-cache"
            assert first.headers["X-Content-Type-Options"] == "nosniff"
            assert await first.read() == read_files(["rtppool_core.pages"])["base.css"].body
        for given, status in ((first.headers["ETag"], 304), ('"other"', 200)):
            async with http.get(f"{address}/static/base.css", headers={"If-None-Match": given}) as again:
                assert again.status == status
                assert (await again.read() == b"") is (status == 304)


@pytest.mark.parametrize("name", ["none.css", "..%2f__init__.py", "__init__.py", "%00", "base.css%2f"])
async def test_no_other_file_is_served(address: str, name: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{address}/static/{name}") as answer:
        assert answer.status == 404


async def test_a_page_allows_the_programs_own_files_alone(address: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(address) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy == CONTENT_SECURITY_POLICY
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
        assert "x?" in await answer.text()


@pytest.mark.parametrize("member", ["libs/core", "services/ari", "operator"])
def test_a_wheel_has_every_file_that_a_page_needs(member: str) -> None:
    root = REPOSITORY / member
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packaged = {
        path
        for package, globs in patterns.items()
        for glob in globs
        for path in (root / "src" / package.replace(".", "/")).glob(glob)
    }
    needed = {
        path
        for suffix in ("html", "css", "js", "svg")
        for path in (root / "src").rglob(f"*.{suffix}")
        if path.is_file()
    }
    assert needed
    assert needed <= packaged
