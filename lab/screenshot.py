"""Make the pictures in docs/images: the pages of a relay with twenty calls, drawn by headless Chromium.

Run as `python -m lab.screenshot`, after `make browser` has installed Playwright. It needs Chromium, and installs
Debian's where it may.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from lab.base.errors import LabError
from lab.base.places import LOOPBACK, REPOSITORY
from lab.base.services import compile_ahead
from lab.base.turns import hold_machine
from lab.browser.chromium import find_browser

FOLDER = REPOSITORY / "docs/images"
CALLS = 20
LIVE_TEXT = "Live: figures of each second."
# A window has 60 s, and a second's figures appear 5 s later.
WINDOW_SECONDS = 70
START_SECONDS = 60
END_SECONDS = 20
HTTP_PORT = 29090
DESKTOP, PHONE, REPORT = (1100, 1180), (390, 1180), (1000, 975)
MAX_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Screenshot:
    """A page at a size in pixels, in light or dark."""

    name: str
    path: str
    size: tuple[int, int]
    scheme: Literal["light", "dark"]


PICTURES = (
    Screenshot("live-page.png", "/?span=60", DESKTOP, "light"),
    Screenshot("live-page-dark.png", "/?span=60", DESKTOP, "dark"),
    Screenshot("live-page-phone.png", "/?span=60", PHONE, "light"),
    Screenshot("live-page-phone-dark.png", "/?span=60", PHONE, "dark"),
    Screenshot("report-page.png", "/sla", REPORT, "light"),
)


def main() -> int:
    """Make the pictures. Returns the exit code."""
    try:
        browser = find_browser()
        with hold_machine():
            compile_ahead()
            with demonstration() as address:
                time.sleep(WINDOW_SECONDS)
                draw_all(browser, address)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    for picture in PICTURES:
        print(f"docs/images/{picture.name}: {(FOLDER / picture.name).stat().st_size} bytes")
    return 0


@contextmanager
def demonstration() -> Iterator[str]:
    """Yield the address of a relay with calls of the stand-in, as `make run` starts it.

    Raises:
        LabError: it did not start.
    """
    address = f"http://{LOOPBACK}:{HTTP_PORT}"
    command = [sys.executable, "-m", "rtppool_callgen", "run", "--calls", str(CALLS)]
    ports = ["--http-port", str(HTTP_PORT), "--echo-http-port", str(HTTP_PORT + 1)]
    with subprocess.Popen([*command, *ports], stdout=subprocess.DEVNULL) as running:
        try:
            _wait_until_ready(address, running)
            yield address
        finally:
            running.terminate()
            running.wait(END_SECONDS)


def _wait_until_ready(address: str, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while running.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/ready", timeout=2).close()  # noqa: S310 our own relay
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
        else:
            return
    raise LabError(f"screenshot: {address}/ready is not served within {START_SECONDS} s")


def draw_all(browser: str, address: str) -> None:
    """Draw every picture of the relay at `address`.

    Raises:
        LabError: a file is larger than MAX_BYTES.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Playwright is not among the packages of every checkout.
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--hide-scrollbars"])
        for picture in PICTURES:
            width, height = picture.size
            page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=picture.scheme)
            page.goto(address + picture.path)
            if picture.path != "/sla":
                page.get_by_text(LIVE_TEXT).wait_for()
                page.locator("#calls-body tr").nth(CALLS - 1).wait_for(state="attached")
            drawn = page.screenshot()
            page.close()
            if len(drawn) > MAX_BYTES:
                raise LabError(f"screenshot: {picture.name} has {len(drawn)} bytes; at most {MAX_BYTES} are accepted")
            (FOLDER / picture.name).write_bytes(drawn)
        chromium.close()


if __name__ == "__main__":
    sys.exit(main())
