"""The live page's files: complete, without inline script or style, and every part that the scripts fill is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rtppool_core.pages.static_files import read_files
from rtppool_core.pages.templates import Templates
from rtppool_relay.http.page import page as page_module
from rtppool_relay.http.page.page import PACKAGE, render_live

FOLDER = Path(page_module.__file__).parent / "static"
SCRIPTS = sorted(FOLDER.glob("*.js"))
PAGE = render_live(Templates(PACKAGE), "rtp-relay-x7", "worker-1")


def test_the_page_has_its_files_and_no_inline_script_or_style() -> None:
    files = read_files(["rtppool_core.pages", "rtppool_relay.http.page"])
    linked = re.findall(r'(?:href|src)="/static/([^"]+)"', PAGE)
    assert {"base.css", "components.css", "live.css", "live.js"} == set(linked) <= set(files)
    assert re.findall(r"<script[^>]*>", PAGE) == ['<script type="module" src="/static/live.js">']
    assert "<style" not in PAGE
    assert not re.search(r"\s(style|on\w+)=", PAGE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_imports_files_of_the_relay_and_makes_no_markup_of_text(script: Path) -> None:
    text = script.read_text()
    imported = re.findall(r'from "([^"]+)"', text)
    assert all((FOLDER / name).is_file() and name.startswith("./") for name in imported)
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_part_that_a_script_fills_is_on_the_page(script: Path) -> None:
    wanted = set(re.findall(r'byId\("([\w-]+)"\)', script.read_text()))
    assert wanted <= set(re.findall(r'id="([\w-]+)"', PAGE))


def test_hostile_names_are_text() -> None:
    hostile = "<script>alert(1)</script>\"'"
    shown = render_live(Templates(PACKAGE), hostile, hostile)
    assert shown.count("<script") == PAGE.count("<script")
    assert "&lt;script&gt;" in shown


def test_a_start_loads_no_templates_because_most_relays_never_show_a_page() -> None:
    source = "import sys, rtppool_relay.http.service; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)  # noqa: S603 our own
    assert done.stdout.strip() == "False"
