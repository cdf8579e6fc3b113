"""The CRD as the chart renders it: one file, by value, and kept by every uninstall."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_values import BASE, set_values

from rtppool_operator.settings import read_settings

CRD = ("CustomResourceDefinition", "rtppools.rtppool.dev")
KEEP = ("helm.sh/resource-policy", "argocd.argoproj.io/sync-options")


def test_the_rendered_definition_is_the_file_with_the_labels_of_the_release(defaults: Any, chart: Path) -> None:
    rendered = defaults.find(*CRD)
    labels = rendered["metadata"].pop("labels")
    assert rendered == yaml.safe_load((chart / "files/rtppools.yaml").read_text())
    assert labels["app.kubernetes.io/instance"] == "rtp"


def test_an_uninstall_keeps_the_definition_unless_the_values_say_otherwise(render: Any) -> None:
    assert render().find(*CRD)["metadata"]["annotations"].keys() >= {*KEEP}
    given_up = render({"crds.keep": False}).find(*CRD)
    assert list(given_up["metadata"]["annotations"]) == ["rtppool.dev/crd-revision"]
    assert given_up["spec"] == render().find(*CRD)["spec"]


def test_without_crds_install_no_object_and_no_program_of_the_release_installs_it(render: Any) -> None:
    rendered = render({"crds.install": False}, "--include-crds")
    assert not [name for name in rendered.names() if "crd" in name[1] or name[0] == CRD[0]]
    environment = rendered.environment("Deployment", "rtp-operator")
    assert environment["CRD_INSTALL"] == "false"


@pytest.mark.parametrize(("install", "applies"), [("true", True), ("false", False)])
def test_the_operator_reads_the_value(chart: Path, install: str, applies: bool) -> None:
    variables = {"POD_NAMESPACE": "voice", "CRD_FILE": str(chart / "files/rtppools.yaml"), "CRD_INSTALL": install}
    assert read_settings(variables).applies_crd is applies


def test_helm_itself_installs_no_definition_and_the_packaged_chart_has_one_copy(
    helm: Callable[..., Any], chart: Path, tmp_path: Path
) -> None:
    done = helm("package", chart, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")
    assert helm("show", "crds", package).stdout.strip() == ""
    rendered = helm("template", "rtp", package, *set_values(BASE)).stdout
    assert rendered.count("kind: CustomResourceDefinition") == 1


def test_the_link_for_kubectl_leads_to_the_same_file(chart: Path) -> None:
    assert (chart / "crds/rtppools.yaml").resolve() == chart / "files/rtppools.yaml"
