"""The browser, and pages that fail their test on an error of the console."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rig import Rig, running

from lab.base.places import find_places
from lab.base.steps import Steps
from lab.browser.axe import Axe
from lab.browser.chromium import find_browser

DESKTOP = (1100, 900)
PHONE = (390, 844)
# A second's figures, a verdict 8 s later, and a busy machine.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe() -> str:
    places = find_places(os.environ)
    return Axe(places, Steps(places.logs)).script()


@pytest.fixture(scope="session")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("rig"), calls=6) as rig:
        yield rig


@pytest.fixture
def rig(shared_rig: Rig) -> Iterator[Rig]:
    """A relay with six calls, whose echo is as it should be at the begin and the end."""
    shared_rig.echo.restore()
    yield shared_rig
    shared_rig.echo.restore()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Start a relay for this test alone."""
    with ExitStack() as started:
        yield lambda calls, ports=101: started.enter_context(running(tmp_path, calls, ports))


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """The errors of all consoles. A test that expects some clears the list."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def visit(
    browser: Browser,
    errors: list[str],
    start: Callable[..., Rig],  # noqa: ARG001 its relays end after the pages
) -> Iterator[Callable[..., Page]]:
    """Open a page of a relay. The policy of its content is in force."""
    with ExitStack() as opened:

        def open_page(address: str, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Page:
            viewport = {"width": size[0], "height": size[1]}
            page = browser.new_page(viewport=viewport, color_scheme=scheme, accept_downloads=True)
            opened.callback(page.close)
            page.on("console", lambda entry: errors.append(entry.text) if entry.type in {"error", "warning"} else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            return page

        yield open_page
