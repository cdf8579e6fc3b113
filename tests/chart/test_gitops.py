"""The chart for tools that render it without a cluster: the pages' commands and the examples."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/gitops.md").read_text()
TOKEN = "rtp-http-token"
IN_NAMESPACE = ("--namespace", "rtp-pool")


@pytest.fixture
def kubectl() -> str:
    program = os.environ.get("KUBECTL", shutil.which("kubectl"))
    if program is None:
        pytest.skip("not run: no kubectl; make test fetches it")
    return program


def names(objects: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in objects}


def without_hooks(objects: Any) -> set[tuple[str, str]]:
    return names([each for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})])


def test_the_kustomization_renders_every_object_but_the_hooks(kubectl: str, render: Any) -> None:
    words = [kubectl, "kustomize", "--enable-helm", "--load-restrictor", "LoadRestrictionsNone"]
    if helm := os.environ.get("HELM"):
        words += ["--helm-command", helm]
    done = subprocess.run(  # noqa: S603 make's kubectl
        [*words, str(ROOT / "examples/kustomize")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    assert names(objects) == without_hooks(render(None, *IN_NAMESPACE))
    assert {each["metadata"].get("namespace", "rtp-pool") for each in objects} == {"rtp-pool", "kube-system"}


def test_the_page_s_helm_template_renders_every_object_but_the_hooks(helm: Callable[..., Any], render: Any) -> None:
    (command,) = re.findall(r"^helm (template .*?)\| kubectl apply", PAGE, re.DOTALL | re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    done = helm(*(str(ROOT / word) if word.startswith("charts/") else word for word in words))
    assert done.returncode == 0, done.stderr
    assert names([each for each in yaml.safe_load_all(done.stdout) if each]) == without_hooks(
        render(None, *IN_NAMESPACE)
    )


def test_the_page_begins_with_the_command_that_makes_the_secret_of_every_example() -> None:
    first = PAGE.split("```")[1]
    assert f"create secret generic {TOKEN} --namespace rtp-pool --from-literal=token=" in first
    kustomization = yaml.safe_load((ROOT / "examples/kustomize/kustomization.yaml").read_text())
    application = yaml.safe_load((ROOT / "examples/argocd/application.yaml").read_text())
    for values in (
        kustomization["helmCharts"][0]["valuesInline"],
        application["spec"]["source"]["helm"]["valuesObject"],
    ):
        assert values["httpToken"] == {"existingSecret": TOKEN}


def test_the_values_of_the_application_render(render: Any) -> None:
    application = yaml.safe_load((ROOT / "examples/argocd/application.yaml").read_text())
    assert ("Deployment", "rtp-operator") in names(render(application["spec"]["source"]["helm"]["valuesObject"]))


def test_the_only_hooks_are_those_of_the_page(render: Any) -> None:
    hooks: dict[str, set[str]] = {}
    for each in render():
        if (kind := each["metadata"].get("annotations", {}).get("helm.sh/hook")) is not None:
            hooks.setdefault(kind, set()).add(each["kind"])
    assert hooks == {
        "pre-upgrade": {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"},
        "test": {"Pod"},
    }
    assert all(f"| `{kind}` |" in PAGE for kind in hooks)


def test_a_job_that_kubectl_applied_is_gone_before_the_next_version(render: Any) -> None:
    """A Job is immutable."""
    assert render().find("Job", "rtp-crd-upgrade")["spec"]["ttlSecondsAfterFinished"] == 300
