"""docs/architecture.md lists every room of every package, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
TABLE = re.compile(r"^\| \[[^\]]+\]\(\.\./(?P<package>\S+/src/rtppool_\w+)\).*\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)


def rooms_on_the_page() -> set[str]:
    """Each row's folder, with the package of its table."""
    return {
        f"{table['package']}/{room}"
        for table in TABLE.finditer(PAGE)
        for room in re.findall(r"^\| `(\w+)/` \|", table["rows"], re.MULTILINE)
    }


def test_the_page_lists_every_room_and_no_other() -> None:
    packages = [path for pattern in ("*/src", "*/*/src") for path in ROOT.glob(f"{pattern}/rtppool_*")]
    rooms = {
        str(init.parent.relative_to(ROOT))
        for package in packages
        if package.name != "rtppool_testing"
        for init in package.glob("*/__init__.py")
    }
    assert len(rooms) > 20
    assert rooms_on_the_page() == rooms


def test_every_row_has_one_sentence() -> None:
    rows = [line.split("|")[2].strip() for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    assert rows
    assert not [row for row in rows if ". " in row]
