"""The page of compared figures names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("libs", "services", "operator", "tests")


def test_every_test_of_the_page_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/truth.md").read_text()))
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("test_*.py"))
    defined = {name for path in files for name in re.findall(r"def (test_\w+)\(", path.read_text())}
    assert len(named) > 13
    assert named <= defined
