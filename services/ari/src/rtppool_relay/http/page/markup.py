"""Elements of an HTML page as a tree: the standard library escapes every text and closes every element."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

Node = str | ET.Element
BAR_HEIGHT = 12


def element(tag: str, *children: Node, **attributes: str) -> ET.Element:
    """Make an element with text and elements inside. `class_` is `class`, `aria_label` is `aria-label`."""
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = ET.Element(tag, names)
    for child in children:
        if isinstance(child, str):
            _append_text(made, child)
        else:
            made.append(child)
    return made


def to_html(node: ET.Element) -> str:
    """Serialize as HTML."""
    return ET.tostring(node, encoding="unicode", method="html")


def number(value: float, text: str) -> ET.Element:
    """Make a figure as people read it, with its exact value for programs."""
    return element("data", text, value=str(value))


def moment(unix_seconds: int) -> ET.Element:
    """Make a date and time of day in UTC."""
    at = datetime.fromtimestamp(unix_seconds, UTC)
    return element("time", f"{at:%Y-%m-%d %H:%M:%S} UTC", datetime=f"{at:%Y-%m-%dT%H:%M:%SZ}")


def not_measured() -> ET.Element:
    """Make the placeholder of an absent figure."""
    return element("span", "not measured", class_="absent")


def section(title: str, *children: Node) -> ET.Element:
    """Make a part of the page under a heading."""
    return element("section", element("h2", title), *children)


def table(columns: Iterable[str], rows: Iterable[ET.Element], caption: ET.Element | None = None) -> ET.Element:
    """Make a table with a heading over each column."""
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in columns)))
    return element("table", *([] if caption is None else [caption]), head, element("tbody", *rows))


def _append_text(made: ET.Element, text: str) -> None:
    if len(made):
        made[-1].tail = (made[-1].tail or "") + text
    else:
        made.text = (made.text or "") + text
