"""Puts a run's table and picture where the documentation holds them."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.bench.programs.compiled import BenchError

BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"


def publish(page: Path, table: str, picture: Path | None) -> None:
    """Replace what stands between the page's two marks; the picture lies beside the page under the page's name.

    Raises:
        BenchError: the page has not the two marks.
    """
    if picture is not None:
        beside = page.with_suffix(".png")
        shutil.copyfile(picture, beside)
        table = f"![Each figure as its share of the target]({beside.name})\n\n{table}"
    page.write_text(with_table(page.read_text(), table))


def with_table(text: str, table: str) -> str:
    """The page's text with another table.

    Raises:
        BenchError: it has not the two marks, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise BenchError(f"the page must have {BEGIN} and {END} once each, in this order")
    return f"{before}{BEGIN}\n\n{table.strip()}\n\n{END}{after}"
