"""skaffold.yaml: valid by skaffold's own schema, and true about the Dockerfile and the chart."""

from __future__ import annotations

import json
import os
import re
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


def test_it_builds_every_target_of_the_dockerfile(skaffold: dict[str, Any]) -> None:
    stages = re.split(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    # A stage that starts a program is an image. The others are parts of images.
    targets = {name for name, body in zip(stages[::2], stages[1::2], strict=True) if "\nENTRYPOINT" in body}
    assert targets == {"echo", "relay", "operator"}
    assert {artifact["docker"]["target"] for artifact in skaffold["build"]["artifacts"]} == targets
    assert {artifact["image"] for artifact in skaffold["build"]["artifacts"]} == {
        f"rtp-pool/{name}" for name in targets
    }


def test_it_installs_the_chart_with_the_images_that_it_built(skaffold: dict[str, Any], chart: Path) -> None:
    (release,) = skaffold["deploy"]["helm"]["releases"]
    assert ROOT / release["chartPath"] == chart
    values = yaml.safe_load((chart / "values.yaml").read_text())
    for key, template in release["setValueTemplates"].items():
        component, image, field = key.split(".")
        assert field in values[component][image], key
        assert re.fullmatch(rf"{{{{\.IMAGE_(REPO|TAG)_rtp_pool_{component}}}}}.*", template), template
    assert len(release["setValueTemplates"]) == 2 * len(skaffold["build"]["artifacts"])
