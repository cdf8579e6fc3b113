"""A sync of Argo CD, replayed with kubectl from a rendering of the chart.

As in gitops-engine (pkg/sync: hook/helm/type.go, hook/helm/delete_policy.go, sync_context.go), hooks of Helm run by
weight in the phases PreSync and PostSync. Their default delete policy is `before-hook-creation`, and `helm test` is
ignored. All other objects are applied in Sync, in the order of their kinds. A phase ends when its objects are healthy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from kube import NAMESPACE, Kube

PRE_SYNC, SYNC, POST_SYNC = "PreSync", "Sync", "PostSync"
PHASES = (PRE_SYNC, SYNC, POST_SYNC)
OF_HELM = {
    "pre-install": PRE_SYNC,
    "pre-upgrade": PRE_SYNC,
    "post-install": POST_SYNC,
    "post-upgrade": POST_SYNC,
}
BEFORE, SUCCEEDED = "before-hook-creation", "hook-succeeded"
# The first kinds of gitops-engine's order, as far as the chart has them. The others follow by name.
FIRST_KINDS = (
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
)
HEALTHY_WITHIN_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Task:
    """An object in its phase and wave. `policies` are those of a hook, and empty for other objects."""

    phase: str
    wave: int
    document: Mapping[str, Any]
    policies: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Kind and name for kubectl."""
        return f"{self.document['kind']}/{self.document['metadata']['name']}"


def tasks_of(document: Mapping[str, Any]) -> list[Task]:
    """Return the tasks of a rendered object: one in each phase of its hooks."""
    annotations = document["metadata"].get("annotations") or {}
    if "helm.sh/hook" not in annotations:
        return [Task(SYNC, 0, document)]
    phases = {OF_HELM[hook] for hook in _words(annotations["helm.sh/hook"]) if hook in OF_HELM}
    policies = tuple(_words(annotations.get("helm.sh/hook-delete-policy", BEFORE)))
    wave = int(annotations.get("helm.sh/hook-weight", "0"))
    return [Task(phase, wave, document, policies) for phase in PHASES if phase in phases]


def ordered(documents: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Return all tasks in the order in which Argo CD runs them."""
    tasks = [task for document in documents for task in tasks_of(document)]
    return sorted(tasks, key=lambda task: (PHASES.index(task.phase), task.wave, *_rank(task.document)))


def sync(kube: Kube, documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Run a sync. Return a line for each action, in order."""
    done: list[str] = []
    for phase, in_phase in groupby(ordered(documents), key=lambda task: task.phase):
        tasks = list(in_phase)
        for _, wave in groupby(tasks, key=lambda task: task.wave):
            for task in list(wave):
                _run(kube, task, done)
        for task in tasks:
            _wait_healthy(kube, task)
        for task in tasks:
            if SUCCEEDED in task.policies:
                _delete(kube, task, done)
        done.append(f"{phase} done")
    return done


def _run(kube: Kube, task: Task, done: list[str]) -> None:
    if BEFORE in task.policies:
        _delete(kube, task, done)
    kube.kubectl("apply", *_where(task), "--filename", "-", input_text=json.dumps(task.document))
    done.append(f"{task.phase} apply {task.name}")
    if task.document["kind"] == "Job":
        _wait_healthy(kube, task)


def _wait_healthy(kube: Kube, task: Task) -> None:
    limit = f"--timeout={HEALTHY_WITHIN_SECONDS}s"
    seconds = HEALTHY_WITHIN_SECONDS + 10
    match task.document["kind"]:
        case "Job":
            kube.kubectl("wait", task.name, *_where(task), "--for=condition=Complete", limit, seconds=seconds)
        case "Deployment" | "DaemonSet":
            kube.kubectl("rollout", "status", task.name, *_where(task), limit, seconds=seconds)
        case "CustomResourceDefinition":
            kube.kubectl("wait", task.name, "--for=condition=Established", limit, seconds=seconds)


def _delete(kube: Kube, task: Task, done: list[str]) -> None:
    printed = kube.kubectl("delete", task.name, *_where(task), "--ignore-not-found", "--wait", seconds=70)
    if printed.strip():
        done.append(f"{task.phase} delete {task.name}")


def _where(task: Task) -> list[str]:
    return ["--namespace", task.document["metadata"].get("namespace", NAMESPACE)]


def _rank(document: Mapping[str, Any]) -> tuple[int, str, str]:
    kind = document["kind"]
    place = FIRST_KINDS.index(kind) if kind in FIRST_KINDS else len(FIRST_KINDS)
    return place, kind, document["metadata"]["name"]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]
