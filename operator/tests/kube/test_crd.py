"""A definition is never downgraded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rtppool_operator.kube.crd import apply_crd, is_older, revision_of

CRD = Path(__file__).resolve().parents[3] / "charts/rtp-pool/crds/rtppools.yaml"


class Definitions:
    """A CRD in memory."""

    def __init__(self, standing: dict[str, Any] | None) -> None:
        self.standing = standing
        self.managers: list[str] = []

    def definition(self) -> dict[str, Any] | None:
        return self.standing

    def apply_definition(self, document: Mapping[str, Any], manager: str) -> None:
        self.managers.append(manager)
        self.standing = dict(document)


def crd(revision: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"rtppool.dev/crd-revision": revision} if revision else {}}}


def test_a_missing_or_older_definition_is_applied_as_helm() -> None:
    for standing in (None, crd(None), crd("0")):
        store = Definitions(standing)
        assert apply_crd(store, CRD)
        assert store.managers == ["helm"]


def test_a_newer_or_equal_definition_stands() -> None:
    own = revision_of(yaml.safe_load(CRD.read_text()))
    for standing in (crd(str(own)), crd("99")):
        store = Definitions(standing)
        assert not apply_crd(store, CRD)
        assert store.standing is standing


def test_a_revision_that_is_no_number_counts_as_none() -> None:
    assert revision_of(crd("abc")) == 0
    assert is_older(crd("abc"), crd("1"))
