"""Programs that judge the chart's monitoring objects, fetched where they are missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chart_values import completed, set_values
from strict_yaml import load_all

from lab.base.places import CHART, Places, find_places
from lab.base.steps import Steps
from lab.base.turns import hold_lock
from lab.cluster.programs.builds import Programs
from lab.monitoring.definitions import definition_file, schema_of
from lab.monitoring.grafana_schema import GrafanaSchema

NAMESPACE = "voice"


@pytest.fixture(scope="session")
def places() -> Places:
    return find_places(os.environ)


@pytest.fixture(scope="session")
def steps(places: Places) -> Steps:
    return Steps(places.logs)


@pytest.fixture(scope="session")
def program(places: Places, steps: Steps) -> Callable[[str], Path]:
    """Return the function that finds a program. One worker after the other fetches those that are missing."""

    def find(name: str) -> Path:
        with hold_lock(places.root / "monitoring.lock", steps.say):
            return Programs(places, steps).path(name)

    return find


@pytest.fixture
def grafana(places: Places, steps: Steps) -> Iterator[GrafanaSchema]:
    with hold_lock(places.root / "monitoring.lock", steps.say):
        yield GrafanaSchema(places, steps)


@pytest.fixture
def definition(places: Places, steps: Steps) -> Callable[[str], dict[str, Any]]:
    """Return the function that returns the schema of a CRD of Prometheus Operator."""

    def find(kind: str) -> dict[str, Any]:
        with hold_lock(places.root / "monitoring.lock", steps.say):
            return schema_of(definition_file(kind, places, steps))

    return find


@pytest.fixture
def promtool(program: Callable[[str], Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs promtool."""
    path = program("promtool")

    def run(*words: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [path, *words]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture
def render(program: Callable[[str], Path]) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that renders the chart for a cluster with Prometheus Operator."""
    helm = program("helm")

    def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
        words = ("template", "rtp", CHART, "--namespace", NAMESPACE, "--api-versions", "monitoring.coreos.com/v1")
        command = [helm, *words, *set_values(completed(values))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return [document for document in load_all(done.stdout) if document]

    return rendered
