from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chart_values import completed, set_values
from strict_yaml import load_all

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/rtp-pool"
NOT_RUN = "not run: no helm; make test fetches it"


@pytest.fixture(scope="session")
def chart() -> Path:
    return CHART


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    return program_of("HELM")


def program_of(variable: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the helm which an environment variable names."""
    program = os.environ.get(variable, shutil.which(variable.lower()))
    if program is None:
        pytest.skip(NOT_RUN)
    if not program or shutil.which(program) is None:
        pytest.fail(f"{variable}={program}: is no program; accepted is the path of helm")

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [program, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 make's helm

    return run


@pytest.fixture(scope="session", params=["HELM", "HELM3"])
def each_helm(request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return Helm 4, then Helm 3."""
    return program_of(request.param)


@dataclass(frozen=True)
class Rendered:
    """All objects of a rendering, looked up by kind and name."""

    objects: tuple[dict[str, Any], ...]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.objects)

    def find(self, kind: str, name: str) -> dict[str, Any]:
        found = [o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
        assert len(found) == 1, f"{len(found)} objects {kind}/{name}, of {self.names()}"
        return found[0]

    def names(self) -> set[tuple[str, str]]:
        return {(o["kind"], o["metadata"]["name"]) for o in self.objects}

    def pod(self, kind: str, name: str) -> dict[str, Any]:
        return pod_of(self.find(kind, name))

    def container(self, kind: str, name: str) -> dict[str, Any]:
        (only,) = self.pod(kind, name)["spec"]["containers"]
        return dict(only)

    def environment(self, kind: str, name: str) -> dict[str, Any]:
        return {
            entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in self.container(kind, name)["env"]
        }

    def pods(self) -> dict[str, dict[str, Any]]:
        kinds = {"DaemonSet", "Deployment", "Job", "Pod"}
        return {o["metadata"]["name"]: pod_of(o) for o in self.objects if o["kind"] in kinds}


def pod_of(holder: dict[str, Any]) -> dict[str, Any]:
    return dict(holder if holder["kind"] == "Pod" else holder["spec"]["template"])


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def try_to_render(helm: Callable[..., Any]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def attempt(values: dict[str, Any] | None = None, *options: str) -> subprocess.CompletedProcess[str]:
        words = set_values(completed(values))
        done: subprocess.CompletedProcess[str] = helm(
            "template", "rtp", CHART, "--namespace", "voice", *words, *options
        )
        return done

    return attempt


@pytest.fixture(scope="session")
def render(try_to_render: Callable[..., Any]) -> Render:
    kept: dict[str, Rendered] = {}

    def rendered(values: dict[str, Any] | None = None, *options: str) -> Rendered:
        key = json.dumps([values, options])
        if key not in kept:
            done = try_to_render(values, *options)
            assert done.returncode == 0, done.stderr
            kept[key] = Rendered(tuple(document for document in load_all(done.stdout) if document))
        return kept[key]

    return rendered


@pytest.fixture(scope="session")
def notes(helm: Callable[..., Any]) -> Callable[..., str]:
    """Return the notes of an installation."""

    def printed(values: dict[str, Any] | None = None) -> str:
        words = set_values(completed(values))
        done = helm("install", "rtp", CHART, "--namespace", "voice", "--dry-run=client", *words)
        assert done.returncode == 0, done.stderr
        return str(done.stdout.partition("NOTES:")[2])

    return printed


@pytest.fixture(scope="session")
def defaults(render: Render) -> Rendered:
    return render()
