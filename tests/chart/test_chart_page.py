"""The chart as a catalogue shows it: its README, icon and annotations."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from chart_readme import rows, with_table
from chart_values import BASE, set_values

ROOT = Path(__file__).resolve().parents[2]
CATEGORIES = {
    *("ai-machine-learning", "database", "integration-delivery", "monitoring-logging", "networking", "security"),
    *("storage", "streaming-messaging"),
}


@pytest.fixture(scope="module")
def facts(chart: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((chart / "Chart.yaml").read_text()))


def test_helm_shows_the_readme_with_the_comments_of_the_values(each_helm: Callable[..., Any], chart: Path) -> None:
    readme = (chart / "README.md").read_text()
    current = with_table(readme, (chart / "values.yaml").read_text())
    assert readme == current, "run .venv/bin/python tools/chart_readme.py"
    assert each_helm("show", "readme", chart).stdout.strip() == readme.strip()


def test_the_readme_has_every_value_with_its_default(chart: Path) -> None:
    text = (chart / "values.yaml").read_text()
    table = {row.path: row.default for row in rows(text)}

    def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
        if place in table and table[place] is not None:
            yield place, value
        else:
            for name, below in value.items():
                yield from leaves(below, f"{place}.{name}" if place else name)

    found = dict(leaves(yaml.safe_load(text)))
    assert {path: yaml.safe_load(default) for path, default in table.items() if default is not None} == found


def test_a_comment_belongs_to_the_key_below_it() -> None:
    values = "# About all.\n\n# About a.\n# More.\na:\n  b: 1 # aside\n  # About c | d.\n  c: {}\n"
    assert list(rows(values)) == [("a", None, "About a. More."), ("a.b", "1", ""), ("a.c", "{}", "About c | d.")]
    assert "| `a.c` | `{}` | About c \\| d. |" in with_table("<!-- begin: values --><!-- end: values -->", values)


def test_a_value_that_the_table_would_lack_is_refused() -> None:
    with pytest.raises(ValueError, match=r"values\.yaml:2: '- one'"):
        list(rows("a:\n  - one\n"))


def test_a_readme_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="begin: values"):
        with_table("# rtp-pool\n", "a: 1\n")


def test_lint_has_no_recommendation(each_helm: Callable[..., Any], chart: Path) -> None:
    done = each_helm("lint", "--strict", chart, *set_values(BASE))
    assert done.returncode == 0, done.stdout
    assert "[INFO]" not in done.stdout


def test_the_icon_is_a_drawing_within_its_url(facts: dict[str, Any]) -> None:
    kind, _, content = facts["icon"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert ET.fromstring(base64.b64decode(content)).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 our own


def test_the_annotations_name_the_definition_as_it_is(facts: dict[str, Any], chart: Path) -> None:
    (named,) = yaml.safe_load(facts["annotations"]["artifacthub.io/crds"])
    definition = yaml.safe_load((chart / "files/rtppools.yaml").read_text())
    versions = [version["name"] for version in definition["spec"]["versions"] if version["storage"]]
    assert (named["kind"], named["name"]) == (definition["spec"]["names"]["kind"], definition["metadata"]["name"])
    assert [named["version"]] == versions


def test_the_annotations_show_the_shortest_valid_example(facts: dict[str, Any]) -> None:
    examples = yaml.safe_load(facts["annotations"]["artifacthub.io/crdsExamples"])
    assert examples == [yaml.safe_load((ROOT / "examples/valid/minimal.yaml").read_text())]


def test_each_annotation_is_a_text_that_artifact_hub_accepts(facts: dict[str, Any]) -> None:
    annotations = facts["annotations"]
    assert all(isinstance(text, str) for text in annotations.values())
    assert annotations["artifacthub.io/category"] in CATEGORIES
    assert annotations["artifacthub.io/license"] == "Apache-2.0"
