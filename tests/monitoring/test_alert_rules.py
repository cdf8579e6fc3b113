"""files/rules.yaml under promtool: every alert fires and stays silent, links to a runbook, and names real metrics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import CASES, INTERVAL_SECONDS, Case
from test_links import anchors
from test_metrics_page import documented

from lab.base.places import CHART, REPOSITORY
from lab.monitoring.promql import family_of, metrics_of, name_of, rules_of

RULES = CHART / "files/rules.yaml"
RUNBOOKS = REPOSITORY / "docs/runbooks.md"
DOCUMENT = yaml.safe_load(RULES.read_text())
ALERTS = {rule["alert"]: rule for rule in rules_of(DOCUMENT) if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in rules_of(DOCUMENT) if "record" in rule}
Promtool = Callable[..., Any]


def promtool_tests(cases: tuple[Case, ...]) -> dict[str, Any]:
    """Return cases as promtool reads them."""
    return {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{INTERVAL_SECONDS}s",
        "tests": [
            {
                "interval": f"{INTERVAL_SECONDS}s",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": [
                    {"eval_time": case.at, "alertname": case.alert, "exp_alerts": list(expected(case))}
                ],
            }
            for case in cases
        ],
    }


def expected(case: Case) -> list[dict[str, Any]]:
    rule = ALERTS[case.alert]
    return [
        {
            "exp_labels": {**dict(re.findall(r'(\w+)="([^"]*)"', alert.labels)), **alert.more, **rule["labels"]},
            "exp_annotations": {"summary": alert.summary, "runbook_url": rule["annotations"]["runbook_url"]},
        }
        for alert in case.fires
    ]


def run(promtool: Promtool, folder: Path, cases: tuple[Case, ...]) -> Any:
    file = folder / "tests.yaml"
    file.write_text(yaml.safe_dump(promtool_tests(cases)))
    return promtool("test", "rules", file)


def test_promtool_finds_no_fault_in_the_rules(promtool: Promtool) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS) + len(RECORDED)} rules found" in done.stdout


def test_every_alert_fires_and_stays_silent_as_its_cases_say(promtool: Promtool, tmp_path: Path) -> None:
    done = run(promtool, tmp_path, CASES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert {case.alert for case in CASES if case.fires} == set(ALERTS)
    assert {case.alert for case in CASES if not case.fires} == set(ALERTS)


@pytest.mark.parametrize("case", [case for case in CASES if case.fires], ids=lambda case: case.alert)
def test_a_case_that_expects_silence_where_an_alert_fires_fails(promtool: Promtool, tmp_path: Path, case: Case) -> None:
    assert run(promtool, tmp_path, (Case(case.alert, case.series, case.at),)).returncode != 0


def test_every_alert_links_to_its_section_of_the_runbooks_and_there_is_no_other() -> None:
    links = {name: rule["annotations"]["runbook_url"] for name, rule in ALERTS.items()}
    assert links == {name: f"docs/runbooks.md#{name.lower()}" for name in ALERTS}
    sections = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sections == list(ALERTS)
    assert {link.partition("#")[2] for link in links.values()} <= anchors(RUNBOOKS)


@pytest.mark.parametrize("name", ALERTS)
def test_the_runbook_has_severity_and_duration_of_the_rule(name: str) -> None:
    section = RUNBOOKS.read_text().partition(f"## {name}\n")[2].partition("\n## ")[0]
    rule = ALERTS[name]
    held = re.search(r"^Severity: (critical|warning)(?:, after (\d+) (s|minutes?)\b.*)?\.$", section, re.MULTILINE)
    assert held is not None
    assert held[1] == rule["labels"]["severity"]
    assert (f"{held[2]}{held[3][0]}" if held[2] else None) == rule.get("for")


def test_names_of_rules_are_unique() -> None:
    assert Counter(map(name_of, rules_of(DOCUMENT))).most_common(1)[0][1] == 1


def test_every_series_in_a_rule_is_a_documented_metric_or_recorded() -> None:
    known = set(documented()) | set(RECORDED)
    for rule in rules_of(DOCUMENT):
        named = {family_of(name) if family_of(name) in known else name for name in metrics_of(rule["expr"])}
        assert named, rule
        assert named <= known, name_of(rule)
