"""The steps of `skaffold dev` after an edit of a Python file: build, load, `helm upgrade`, Ready. Each is timed.

The images, their stages and the chart's values are those of skaffold.yaml. The sources are a copy of this tree, and the
release has its former values and images again afterwards.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lab.base.places import CHART, REPOSITORY
from lab.base.steps import Steps, ask
from lab.cluster.host.docker import Docker
from lab.cluster.images.bases import Bases
from lab.cluster.kind.node_loading import NodeLoading
from lab.cluster.product import NAMESPACE, RELEASE, ROLLOUT_SECONDS, Product

SKAFFOLD = REPOSITORY / "skaffold.yaml"
# What images are made of.
CONTEXT = ("Dockerfile", ".dockerignore", "requirements", "libs", "services", "operator", "tools", "charts")
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "tests", "node_modules")
EDITED = {
    "echo": "services/echo/src/rtppool_echo/__main__.py",
    "relay": "services/ari/src/rtppool_relay/__main__.py",
    "operator": "operator/src/rtppool_operator/__main__.py",
}
MAX_SECONDS = 15.0
# Edits of each component. Its time is their median.
EDITS = 3


@dataclass(frozen=True, slots=True)
class Artifact:
    """An image of skaffold.yaml, and the stage of the Dockerfile that it is."""

    image: str
    target: str

    @property
    def component(self) -> str:
        """The component of the chart that runs the image."""
        return self.image.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class EditTimes:
    """Seconds of each step after an edit of a component's file."""

    component: str
    build: float
    load: float
    upgrade: float
    ready: float

    @property
    def total(self) -> float:
        """Seconds from the edit until every pod of the component runs it."""
        return self.build + self.load + self.upgrade + self.ready


def read_skaffold() -> dict[str, Any]:
    """Return the content of skaffold.yaml."""
    return dict(yaml.safe_load(SKAFFOLD.read_text()))


def artifacts_of(skaffold: Mapping[str, Any]) -> list[Artifact]:
    """Return the images that skaffold builds."""
    return [Artifact(each["image"], each["docker"]["target"]) for each in skaffold["build"]["artifacts"]]


def values_of(skaffold: Mapping[str, Any], tags: Mapping[Artifact, str]) -> dict[str, str]:
    """Return the values that skaffold sets in the chart, for images of these tags."""
    (release,) = skaffold["deploy"]["helm"]["releases"]
    values = {name: json.dumps(value).strip('"') for name, value in release["setValues"].items()}
    for artifact, tag in tags.items():
        values[f"{artifact.component}.image.repository"] = artifact.image
        values[f"{artifact.component}.image.tag"] = tag
    return values


def upgrade_flags_of(skaffold: Mapping[str, Any]) -> list[str]:
    """Return the arguments that skaffold adds to `helm upgrade`."""
    flags = skaffold["deploy"]["helm"].get("flags", {})
    return [*flags.get("global", ()), *flags.get("upgrade", ())]


@dataclass(frozen=True, slots=True)
class CodeEdits:
    """Edits of the product's code, made live on a kind cluster."""

    docker: Docker
    bases: Bases
    loading: NodeLoading
    product: Product
    steps: Steps
    skaffold: Mapping[str, Any]
    monotonic: Callable[[], float] = time.monotonic

    def measure(self, cluster: str) -> list[EditTimes]:
        """Edit a file of each component in turn, and return the times. The first images, before an edit, have none.

        Raises:
            LabError: a step fails; the message has the end of its output.
        """
        artifacts = artifacts_of(self.skaffold)
        revision = self._revision()
        with tempfile.TemporaryDirectory(prefix="rtp-pool-edits-") as name:
            sources = copied_context(Path(name))
            tags = dict.fromkeys(artifacts, "edit-0")
            try:
                self._make_live(cluster, sources, artifacts, values_of(self.skaffold, tags), "edit-0")
                times = []
                for number, artifact in enumerate(artifacts * EDITS, 1):
                    tags[artifact] = tag = f"edit-{number}"
                    with (sources / EDITED[artifact.component]).open("a") as file:
                        # The folder's name is new in each run, so that no image of an earlier run is the same.
                        file.write(f"# Edit {number} in {sources}.\n")
                    times.append(self._make_live(cluster, sources, [artifact], values_of(self.skaffold, tags), tag))
                return times
            finally:
                self._roll_back(revision)

    def _make_live(
        self, cluster: str, sources: Path, changed: Sequence[Artifact], values: Mapping[str, str], tag: str
    ) -> EditTimes:
        """Build and load the changed images, upgrade the release, and wait for their pods."""
        marks = [self.monotonic()]
        for artifact in changed:
            self._build(sources, artifact, tag)
        marks.append(self.monotonic())
        self.loading.load(cluster, [f"{artifact.image}:{tag}" for artifact in changed])
        marks.append(self.monotonic())
        self._upgrade(values)
        marks.append(self.monotonic())
        for artifact in changed:
            self._wait_for_pods(artifact.component)
        marks.append(self.monotonic())
        return EditTimes(changed[0].component, *(after - before for before, after in pairwise(marks)))

    def _build(self, sources: Path, artifact: Artifact, tag: str) -> None:
        self.docker.build(
            f"{artifact.image}:{tag}",
            sources / "Dockerfile",
            sources,
            expected_seconds=5,
            arguments={"BASE": self.bases.python().image},
            target=artifact.target,
            host_network=True,
        )

    def _upgrade(self, values: Mapping[str, str]) -> None:
        settings = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        command: list[str | Path] = [
            self.product.helm,
            "upgrade",
            RELEASE,
            CHART,
            *self.product.where,
            "--reset-then-reuse-values",
            # The former revision stays, for the rollback.
            "--history-max=0",
            *upgrade_flags_of(self.skaffold),
            *settings,
        ]
        self.steps.run("helm upgrade of an edit", command, expected_seconds=5, advice=self._advice)

    def _wait_for_pods(self, component: str) -> None:
        command: list[str | Path] = [self.product.programs.path("kubectl"), *self.product.target.kubectl_arguments()]
        label = f"app.kubernetes.io/component={component}"
        names = ask([*command, "get", "daemonsets,deployments", "--namespace", NAMESPACE, "-l", label, "-o", "name"])
        for name in names.stdout.split():
            rollout = [*command, "rollout", "status", name, "--namespace", NAMESPACE, f"--timeout={ROLLOUT_SECONDS}s"]
            self.steps.run(f"rollout of {component}", rollout, expected_seconds=10, advice=self._advice)

    def _revision(self) -> int:
        found = ask([self.product.helm, "status", RELEASE, *self.product.where, "--output", "json"])
        return int(json.loads(found.stdout)["version"])

    def _roll_back(self, revision: int) -> None:
        words = ["rollback", RELEASE, str(revision), *self.product.where, "--wait", "--timeout", f"{ROLLOUT_SECONDS}s"]
        self.steps.run("helm rollback", [self.product.helm, *words], expected_seconds=30, advice=self._advice)

    @property
    def _advice(self) -> str:
        return f"kubectl get events --namespace {NAMESPACE} shows more."


def copied_context(folder: Path) -> Path:
    """Copy what images are made of, without tests, and return the folder."""
    for name in CONTEXT:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=NOT_COPIED)
        else:
            shutil.copy2(source, folder / name)
    return folder


def typical(times: Sequence[EditTimes]) -> list[EditTimes]:
    """Return the edit of each component whose total is the median of the component's edits."""
    components = dict.fromkeys(each.component for each in times)
    edits = ([each for each in times if each.component == name] for name in components)
    return [sorted(each, key=lambda edit: edit.total)[len(each) // 2] for each in edits]


def shown(times: Iterable[EditTimes]) -> str:
    """Return the times as lines of text."""
    lines = ["an edit of      build   load  upgrade  ready  total"]
    for each in times:
        figures = f"{each.build:5.1f}  {each.load:5.1f}  {each.upgrade:7.1f}  {each.ready:5.1f}  {each.total:5.1f}"
        verdict = "" if each.total <= MAX_SECONDS else f"  above {MAX_SECONDS:.0f} s"
        lines.append(f"{each.component:15} {figures} s{verdict}")
    return "\n".join(lines)
