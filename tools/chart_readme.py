"""Write the table of values in the chart's README.md from the comments of values.yaml.

A comment belongs to the key below it. A block of keys has a row of its own where it has a comment.

    .venv/bin/python tools/chart_readme.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CHART = Path(__file__).resolve().parents[1] / "charts/rtp-pool"
README = CHART / "README.md"
VALUES = CHART / "values.yaml"
BEGIN, END = "<!-- begin: values -->", "<!-- end: values -->"
INDENT = 2
KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z][A-Za-z0-9]*):(?: +(?P<default>.*))?")
COMMENT = re.compile(r" *# ?(?P<text>.*)")


class Row(NamedTuple):
    """A key by its dotted path. A block of keys has no default of its own."""

    path: str
    default: str | None
    description: str


def main() -> None:
    """Write the file."""
    README.write_text(with_table(README.read_text(encoding="utf-8"), VALUES.read_text(encoding="utf-8")), "utf-8")


def with_table(readme: str, values: str) -> str:
    """Return the README with the table of these values.

    Raises:
        ValueError: the README lacks the markers of the table.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md: the table stands between {BEGIN} and {END}")
    return f"{before}{begin}\n\n{table(values)}\n\n{end}{after}"


def table(values: str) -> str:
    """Return the Markdown table: a row for each value, and for each block with a comment."""
    shown = [row for row in rows(values) if row.default is not None or row.description]
    return "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *map(line, shown)])


def line(row: Row) -> str:
    """Return the row in Markdown."""
    default = "" if row.default is None else f"`{escaped(row.default)}`"
    return f"| `{row.path}` | {default} | {escaped(row.description)} |"


def escaped(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", "\\|")


def rows(values: str) -> Iterator[Row]:
    """Yield the keys of a values.yaml in its order. Defaults are scalars or flow collections, as they are written.

    Raises:
        ValueError: a line is neither a key nor a comment, so that the table would lack it.
    """
    path: list[str] = []
    comments: list[str] = []
    for number, text in enumerate(values.splitlines(), 1):
        if not text.strip():
            comments = []
        elif comment := COMMENT.fullmatch(text):
            comments.append(comment["text"])
        elif key := KEY.fullmatch(text):
            path[len(key["indent"]) // INDENT :] = [key["name"]]
            yield Row(".".join(path), default_of(key["default"]), " ".join(comments))
            comments = []
        else:
            raise ValueError(f"values.yaml:{number}: {text.strip()!r}; accepted is `key: value` in one line")


def default_of(text: str | None) -> str | None:
    """Return a default without the comment behind it; None for a block of keys."""
    if not text or text.startswith("#"):
        return None
    return re.sub(r"\s+#.*", "", text)


if __name__ == "__main__":
    main()
