"""files/dashboard.json: TypeScript compiles it as Grafana's own type, and its queries name real metrics."""

from __future__ import annotations

import json

import pytest
import yaml
from test_metrics_page import documented

from lab.base.places import CHART
from lab.monitoring.grafana_schema import GrafanaSchema
from lab.monitoring.promql import family_of, metrics_of, panels_of, queries_of, rules_of

DASHBOARD = json.loads((CHART / "files/dashboard.json").read_text())
RULES = yaml.safe_load((CHART / "files/rules.yaml").read_text())
COLUMNS = 24


@pytest.mark.timeout(300)
def test_the_dashboard_is_one_of_grafana_s_own_type(grafana: GrafanaSchema) -> None:
    assert grafana.complaints(DASHBOARD) == ""


@pytest.mark.timeout(300)
def test_another_field_is_refused(grafana: GrafanaSchema) -> None:
    assert "'\"editabl\"' does not exist in type 'Dashboard'" in grafana.complaints({**DASHBOARD, "editabl": True})


def test_every_series_in_a_panel_is_a_documented_metric_or_recorded() -> None:
    known = set(documented()) | {rule["record"] for rule in rules_of(RULES) if "record" in rule}
    for query in queries_of(DASHBOARD):
        named = {family_of(name) if family_of(name) in known else name for name in metrics_of(query.text)}
        assert named, query
        assert named <= known, query


def test_every_panel_but_the_rows_has_queries_with_the_chosen_data_source() -> None:
    for panel in panels_of(DASHBOARD):
        targets = panel.get("targets", [])
        assert bool(targets) == (panel["type"] != "row"), panel["title"]
        assert len({target["refId"] for target in targets}) == len(targets), panel["title"]
        sources = {source["uid"] for source in (panel.get("datasource"), *(t["datasource"] for t in targets)) if source}
        assert sources <= {"${datasource}"}, panel["title"]


def test_panels_have_ids_and_titles_of_their_own_and_do_not_overlap() -> None:
    panels = list(panels_of(DASHBOARD))
    for key in ("id", "title"):
        assert len({panel[key] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < COLUMNS


def test_no_variable_of_grafana_is_left_in_a_query() -> None:
    assert [query for query in queries_of(DASHBOARD) if "$" in query.text] == []
