"""The product's release on a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.base.errors import LabError
from lab.base.places import CHART, Places
from lab.base.steps import Steps, ask
from lab.cluster.images.product_images import COMPONENTS, TAG
from lab.cluster.kind.guard import Target
from lab.cluster.programs.builds import Programs

RELEASE = "rtp-pool"
NAMESPACE = "rtp-pool"
ROLLOUT_SECONDS = 180
READY_SECONDS = 120
IMAGE_ANNOTATION = "rtppool.dev/image"


@dataclass(frozen=True, slots=True)
class Product:
    """The release on the target cluster."""

    programs: Programs
    places: Places
    steps: Steps
    target: Target

    def up(self, image_ids: Mapping[str, str]) -> None:
        """Install or upgrade the chart, and wait until every pool is Ready. A user's values are kept.

        Args:
            image_ids: identity of each component's image.

        Raises:
            LabError: a pool is not Ready in time; the message shows pods and pools.
        """
        try:
            self._clear_broken_release()
            self._install(image_ids)
            self._wait_until_ready()
        except LabError as error:
            pods = self._kubectl("get", "pods", "--namespace", NAMESPACE, "--output", "wide")
            raise LabError(f"{error}\n{pods}\n{self.shown()}") from error

    def _clear_broken_release(self) -> None:
        """Repair a release that an interrupted helm left: its hooks never ran, and an upgrade would not run them."""
        answer = ask([self.helm, "status", RELEASE, *self.where, "--output", "json"])
        if answer.returncode == 0 and (verb := repair_of(answer.stdout)):
            self.steps.run(
                f"helm {verb}",
                [self.helm, verb, RELEASE, *self.where, "--wait", "--timeout", f"{ROLLOUT_SECONDS}s"],
                expected_seconds=10,
                advice=f"helm history {RELEASE} --namespace {NAMESPACE} shows more.",
            )

    @property
    def helm(self) -> Path:
        """The program helm."""
        return self.programs.path("helm")

    @property
    def where(self) -> list[str]:
        """Its arguments for the namespace and the cluster."""
        return ["--namespace", NAMESPACE, *self.target.helm_arguments()]

    def _install(self, image_ids: Mapping[str, str]) -> None:
        values = self.places.root / "values.json"
        values.write_text(json.dumps(values_for(image_ids), indent=2))
        self.steps.run(
            "helm upgrade --install",
            [
                *(self.helm, "upgrade", "--install", RELEASE, CHART),
                *self.where,
                *("--create-namespace", "--reset-then-reuse-values", "--values", str(values)),
                *("--wait", "--timeout", f"{ROLLOUT_SECONDS}s"),
            ],
            expected_seconds=30,
            advice=f"kubectl get events --namespace {NAMESPACE} shows more.",
        )

    def _wait_until_ready(self) -> None:
        self.steps.run(
            "wait for Ready",
            [
                self.programs.path("kubectl"),
                *self.target.kubectl_arguments(),
                *(
                    "wait",
                    "rtppools",
                    "--all",
                    "--namespace",
                    NAMESPACE,
                    "--for=condition=Ready",
                    f"--timeout={READY_SECONDS}s",
                ),
            ],
            expected_seconds=15,
            advice=f"kubectl get rtppools --namespace {NAMESPACE} --output yaml shows the reason.",
        )

    def shown(self) -> str:
        """Return the pools as kubectl prints them."""
        return self._kubectl("get", "rtppools", "--all-namespaces", "--output", "wide")

    def _kubectl(self, *words: str) -> str:
        answer = ask([self.programs.path("kubectl"), *self.target.kubectl_arguments(), *words])
        return (answer.stdout or answer.stderr).rstrip()


def repair_of(status: str) -> str | None:
    """Return the helm verb that repairs the release in `helm status --output json`; None if it can be upgraded."""
    release = json.loads(status)
    state = release["info"]["status"]
    if release["version"] == 1 and state in {"failed", "pending-install"}:
        return "uninstall"
    return "rollback" if state in {"pending-upgrade", "pending-rollback"} else None


def values_for(image_ids: Mapping[str, str]) -> dict[str, Any]:
    """Return the chart's values. The annotation rolls pods out when an image of the same name has changed."""
    values: dict[str, Any] = {"image": {"tag": TAG, "pullPolicy": "Never"}}
    for component in COMPONENTS:
        values[component] = {"podAnnotations": {IMAGE_ANNOTATION: image_ids[component]}}
    return values
