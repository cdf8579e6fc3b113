"""A definition is never downgraded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtppool_core.process.settings import SettingsError
from rtppool_operator.kube.crd import DefinitionKeeper, read_definition, replacement, revision_of

CRD = Path(__file__).resolve().parents[3] / "charts/rtp-pool/files/rtppools.yaml"
OURS = read_definition(CRD)


class Definitions(DefinitionKeeper):
    """A CRD in memory."""

    def __init__(self, standing: dict[str, Any] | None) -> None:
        super().__init__(None, OURS)  # type: ignore[arg-type] # no API server is asked
        self.standing = standing
        self.applied = 0

    async def find_definition(self) -> dict[str, Any] | None:
        return self.standing

    async def write_definition(self, document: Mapping[str, Any]) -> None:
        self.applied += 1
        self.standing = dict(document)


def crd(revision: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"rtppool.dev/crd-revision": revision} if revision else {}}}


async def test_a_missing_or_older_definition_is_applied() -> None:
    for standing in (None, crd(None), crd("0")):
        store = Definitions(standing)
        await store.apply()
        assert store.applied == 1


async def test_a_newer_or_equal_definition_stands() -> None:
    own = revision_of(yaml.safe_load(CRD.read_text()))
    for standing in (crd(str(own)), crd("99")):
        store = Definitions(standing)
        await store.apply()
        assert store.standing is standing


def test_a_definition_that_a_release_or_another_tool_owns_keeps_its_labels_and_annotations() -> None:
    standing = crd("0")
    standing["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    standing["metadata"]["annotations"] |= {
        "meta.helm.sh/release-name": "rtp",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    applied = replacement(standing, OURS)
    assert applied["metadata"] == {
        "name": "rtppools.rtppool.dev",
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "rtp", "rtppool.dev/crd-revision": str(revision_of(OURS))},
    }
    assert applied["spec"] == OURS["spec"]


def test_a_definition_that_the_operator_creates_survives_every_uninstall() -> None:
    assert replacement(None, OURS)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_revision_that_is_no_number_counts_as_none() -> None:
    assert revision_of(crd("abc")) == 0


@pytest.mark.parametrize("text", [None, "", "a: [", "spec: {versions: []}", "spec: 3", "- spec"])
def test_a_file_that_is_no_definition_is_refused_with_the_setting_s_name(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "rtppools.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=r"^CRD_FILE=.*rtppools\.yaml: .*; accepted is the CRD rtppools\.rtppool"):
        read_definition(file)
