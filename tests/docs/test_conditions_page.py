"""docs/conditions.md lists every condition with every reason and its status, in the operator's order, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from rtppool_operator.status.conditions import READY_NEEDS, REASONS, find_remedy

PAGE = Path(__file__).resolve().parents[2] / "docs/conditions.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (True|False|Unknown) \| ([^|]+) \| ([^|]+) \|$")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def rows() -> list[tuple[str, ...]]:
    lines = PAGE.read_text().splitlines()
    table = [line for line in lines if line.startswith("| `")]
    found = [match.groups() for line in table if (match := ROW.match(line))]
    assert len(found) == len(table), "a row has another form than this test reads"
    return found


def test_the_page_has_every_condition_and_reason_with_its_status_and_no_other() -> None:
    page = {(kind, reason): status for kind, reason, status, *_ in rows()}
    table = {(kind, reason): status for kind, reasons in REASONS.items() for reason, status in reasons.items()}
    assert page == table
    assert len(rows()) == len(page)


def test_the_page_lists_reasons_in_the_operators_order() -> None:
    for kind, reasons in REASONS.items():
        if kind != "Ready":
            assert [reason for of, reason, *_ in rows() if of == kind] == list(reasons)


def test_every_row_has_cause_and_remedy_in_sentences() -> None:
    for *_, when, advice in rows():
        assert when.endswith(".")
        assert advice == "-" or advice.endswith(".")


def test_the_page_names_the_conditions_that_ready_needs() -> None:
    last = rows()[-1][3]
    assert all(f"`{kind}`" in last for kind in READY_NEEDS)


def plain(text: str) -> str:
    return LINK.sub(lambda link: f"docs/{link[1]}" if link[1].endswith(".md") else link[1], text).replace("`", "")


def test_the_operators_page_has_the_remedies_of_this_page() -> None:
    shared = {reason: plain(advice) for kind, reason, *_, advice in rows() if kind == "Programmed"}
    for kind, reason, *_, advice in rows():
        if kind == "Ready" or advice == "-" or advice.startswith("See `"):
            assert not find_remedy(kind, reason)
        elif advice == "As for `Programmed`.":
            assert find_remedy(kind, reason) == shared[reason]
        else:
            assert find_remedy(kind, reason) == plain(advice)
