"""skaffold.yaml: valid by skaffold's own schema, and true about the Dockerfile and the chart."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def skaffold() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "skaffold.yaml").read_text()))


def test_it_is_valid_by_skaffolds_schema(skaffold: dict[str, Any]) -> None:
    given = os.environ.get("SKAFFOLD_SCHEMA")
    path = Path(given) if given else ROOT.parent / "shared/reference/skaffold-v4beta13.json"
    if not given and not path.exists():
        pytest.skip("not run: no schema of skaffold v4beta13; SKAFFOLD_SCHEMA names the file")
    jsonschema.Draft7Validator(json.loads(path.read_text())).validate(skaffold)
    assert skaffold["apiVersion"] == "skaffold/v4beta13"


def test_it_builds_every_image_that_the_chart_installs(skaffold: dict[str, Any], chart: Path) -> None:
    values = yaml.safe_load((chart / "values.yaml").read_text())
    installed = {
        name for name, part in values.items() if isinstance(part, dict) and "repository" in part.get("image", {})
    }
    targets = {artifact["image"]: artifact["docker"]["target"] for artifact in skaffold["build"]["artifacts"]}
    assert targets == {f"rtp-pool/{name}": f"{name}-dev" for name in installed}
    assert installed == {"echo", "relay", "operator"}


@pytest.mark.parametrize("name", ["echo", "relay", "operator"])
def test_the_last_layer_of_a_development_image_is_the_code(name: str) -> None:
    stages = re.split(r"^(?=FROM )", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    (stage,) = (each for each in stages if each.startswith(f"FROM {name}-runtime AS {name}-dev\n"))
    *_, last = stage.strip().splitlines()
    assert re.fullmatch(r"COPY libs/core/src \S+/src /opt/venv/lib/python3.13/site-packages/", last)
    # Docker's former builder makes all stages above. Code above the last layer would build the following layers anew.
    above = "".join(stages[: stages.index(stage)])
    assert set(re.findall(r"^COPY (\S+/src) ", above, re.MULTILINE)) <= {"libs/core/src"}


def test_it_installs_the_chart_with_the_images_that_it_built(skaffold: dict[str, Any], chart: Path) -> None:
    (release,) = skaffold["deploy"]["helm"]["releases"]
    assert ROOT / release["chartPath"] == chart
    values = yaml.safe_load((chart / "values.yaml").read_text())
    for key, template in release["setValueTemplates"].items():
        component, image, field = key.split(".")
        assert field in values[component][image], key
        assert re.fullmatch(rf"{{{{\.IMAGE_(REPO|TAG)_rtp_pool_{component}}}}}.*", template), template
    assert len(release["setValueTemplates"]) == 2 * len(skaffold["build"]["artifacts"])


def security_contexts(rendered: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{name}/{container['name']}": container["securityContext"]
        for name, pod in rendered.pods().items()
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
    }


def test_development_changes_no_right_of_a_container_and_every_file_system_is_read_only(
    skaffold: dict[str, Any], render: Callable[..., Any]
) -> None:
    (release,) = skaffold["deploy"]["helm"]["releases"]
    production, development = security_contexts(render()), security_contexts(render(release["setValues"]))
    assert {name.rpartition("/")[2] for name in production} >= {"echo", "relay", "operator"}
    assert development == production
    assert [name for name, rights in production.items() if rights["readOnlyRootFilesystem"] is not True] == []


def test_development_skips_hooks_that_the_release_makes_up_for(
    skaffold: dict[str, Any], render: Callable[..., Any]
) -> None:
    assert skaffold["deploy"]["helm"]["flags"] == {"upgrade": ["--no-hooks"]}
    hooks = {
        each["metadata"]["labels"]["app.kubernetes.io/component"]
        for each in render()
        if "upgrade" in each["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    }
    assert hooks == {"crd-upgrade"}
    definition = render().find("CustomResourceDefinition", "rtppools.rtppool.dev")
    assert "helm.sh/hook" not in definition["metadata"]["annotations"]
