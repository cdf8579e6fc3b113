"""The symptoms of docs/troubleshooting.md are texts that the programs, the chart and the tools have."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

import pytest
from page_commands import ROOT

from rtppool_operator.status.conditions import REASONS

PAGE = ROOT / "docs/troubleshooting.md"
SOURCES = (
    "libs/core/src",
    "services/echo/src",
    "services/ari/src",
    "operator/src",
    "tools/callgen/src",
    "lab",
    "tools/make_venv.py",
)
CHART = ROOT / "charts/rtp-pool"
CONDITION = re.compile(r"(\w+)=(True|False|Unknown)/(\w+)")
# Texts of Kubernetes, Asterisk and helm, and places.
FOREIGN = {
    "ErrImagePull",
    "ImagePullBackOff",
    "OOMKilled",
    "didn't have free ports",
    "STASISSTATUS=FAILED",
    "helm upgrade",
    "/metrics",
}


def rows() -> Iterator[list[str]]:
    for line in PAGE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| symptom", "| ---")):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def symptoms() -> list[str]:
    """The texts in the first column, each once."""
    return list(dict.fromkeys(text for cell, *_ in rows() for text in re.findall(r"`([^`]+)`", cell)))


def literals(path: str) -> Iterator[str]:
    """The texts of a package, those of f-strings in pieces between the values."""
    folder = ROOT / path
    for file in [folder] if folder.suffix == ".py" else sorted(folder.rglob("*.py")):
        tree = ast.parse(file.read_text())
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                yield node.value


@functools.cache
def printed() -> str:
    """All texts of the programs and of the chart, one a line."""
    templates = (file.read_text() for file in sorted(CHART.rglob("*")) if file.suffix in {".tpl", ".yaml", ".txt"})
    texts = [text for path in SOURCES for text in literals(path)]
    return "\n".join([*texts, *(re.sub(r"%[a-z]", "\n", text) for text in templates)])


def test_every_row_has_symptom_meaning_command_and_remedy() -> None:
    found = list(rows())
    assert len(found) > 50
    for cells in found:
        assert len(cells) == 4, cells
        assert all(cells), cells
        assert cells[1].endswith("."), cells


@pytest.mark.parametrize("symptom", symptoms())
def test_a_symptom_is_printed_by_a_program(symptom: str) -> None:
    if match := CONDITION.fullmatch(symptom):
        kind, status, reason = match.groups()
        assert REASONS[kind][reason] == status  # type: ignore[index]
    elif symptom not in FOREIGN:
        pieces = [piece.strip() for piece in symptom.split("…")]
        assert any(pieces)
        for piece in pieces:
            assert piece in printed(), piece


def test_every_foreign_text_is_on_the_page() -> None:
    assert set(symptoms()) >= FOREIGN
