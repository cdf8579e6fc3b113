"""The steps of `skaffold dev`, as skaffold.yaml has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.base.places import REPOSITORY
from lab.cluster.code_edits import (
    EDITED,
    MAX_SECONDS,
    Artifact,
    EditTimes,
    artifacts_of,
    copied_context,
    read_skaffold,
    shown,
    typical,
    upgrade_flags_of,
    values_of,
)


@pytest.fixture(scope="module")
def skaffold() -> dict[str, Any]:
    return read_skaffold()


def test_each_artifact_has_a_file_to_edit(skaffold: dict[str, Any]) -> None:
    assert {each.component for each in artifacts_of(skaffold)} == EDITED.keys()
    assert all((REPOSITORY / name).is_file() for name in EDITED.values())


def test_the_values_are_skaffolds_with_the_tags_of_the_edit(skaffold: dict[str, Any]) -> None:
    values = values_of(skaffold, {Artifact("rtp-pool/relay", "relay-dev"): "edit-2"})
    assert values["relay.image.repository"] == "rtp-pool/relay"
    assert values["relay.image.tag"] == "edit-2"
    (release,) = skaffold["deploy"]["helm"]["releases"]
    assert {name: values[name] for name in release["setValues"]} == {
        name: str(value) for name, value in release["setValues"].items()
    }


def test_an_upgrade_has_skaffolds_flags(skaffold: dict[str, Any]) -> None:
    assert upgrade_flags_of(skaffold) == ["--no-hooks"]


def test_without_flags_an_upgrade_has_none() -> None:
    assert upgrade_flags_of({"deploy": {"helm": {"releases": []}}}) == []


def test_an_edit_changes_a_copy_of_the_sources(tmp_path: Path) -> None:
    sources = copied_context(tmp_path)
    for name in (*EDITED.values(), "Dockerfile", ".dockerignore", "charts/rtp-pool/files/rtppools.yaml"):
        assert (sources / name).read_bytes() == (REPOSITORY / name).read_bytes()
    assert not list(sources.rglob("__pycache__"))


def test_the_times_are_shown_with_what_took_too_long() -> None:
    fast, slow = EditTimes("echo", 1.0, 2.0, 3.0, 4.0), EditTimes("relay", 1.0, 2.0, 3.0, MAX_SECONDS)
    _head, first, second = shown([fast, slow]).splitlines()
    assert first == "echo              1.0    2.0      3.0    4.0   10.0 s"
    assert second.endswith("21.0 s  above 15 s")


def test_the_typical_edit_of_a_component_is_the_one_of_the_median_total() -> None:
    slow, median, fast = (EditTimes("echo", 1.0, 2.0, 3.0, ready) for ready in (9.0, 5.0, 4.0))
    other = EditTimes("relay", 1.0, 1.0, 1.0, 1.0)
    assert typical([slow, other, median, fast]) == [median, other]
