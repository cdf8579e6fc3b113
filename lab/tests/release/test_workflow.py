"""The workflow that publishes a release: pinned actions, few rights, and every file of `make release`."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from lab.base.places import REPOSITORY
from lab.release.commit import version_of
from lab.release.images import ARCHITECTURE, NAMES, archive_of, parts_list_of

FILE = REPOSITORY / ".github/workflows/release.yml"
TEXT = FILE.read_text()
VERSION = version_of(REPOSITORY)


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load(TEXT))


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return list(workflow["jobs"]["publish"]["steps"])


def test_each_action_is_pinned_by_its_commit_with_the_version_beside_it() -> None:
    used = re.findall(r"uses: (.*)$", TEXT, re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_it_has_the_rights_to_publish_and_no_others(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {}
    assert workflow["jobs"].keys() == {"publish"}
    assert workflow["jobs"]["publish"]["permissions"] == dict.fromkeys(("contents", "packages", "id-token"), "write")


def test_it_runs_for_a_tag_of_a_version_alone(workflow: dict[Any, Any]) -> None:
    # YAML 1.1 reads `on` as a boolean.
    assert workflow[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}


def test_no_script_contains_text_of_an_event(steps: list[dict[str, Any]]) -> None:
    """An expression in a script is replaced before the shell reads it, so a tag could bring commands along."""
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]


def test_it_pushes_and_signs_every_image_of_the_release(steps: list[dict[str, Any]]) -> None:
    (script,) = (step["run"] for step in steps if step.get("name") == "Push and sign the images")
    (names,) = re.findall(r"^for name in (.*); do$", script, re.MULTILINE)
    assert tuple(names.split()) == NAMES
    (files,) = re.findall(r"files=dist/(\S+)$", script, re.MULTILINE)
    assert files.replace("$name", "echo").replace("$VERSION", "1.2.3") + ".tar" == archive_of("echo", "1.2.3")
    assert archive_of("echo", "1.2.3").removesuffix(".tar") == parts_list_of("echo", "1.2.3").removesuffix(".cdx.json")
    assert f"-{ARCHITECTURE}\n" in script


def test_the_readme_pushes_the_files_that_a_release_has() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    (names, archive, image) = re.findall(
        r"^for name in (.*); do skopeo copy oci-archive:dist/(\S+) (\S+); done$", readme, re.MULTILINE
    )[0]
    assert tuple(names.split()) == NAMES
    assert archive.replace("$name", "echo") == archive_of("echo", VERSION)
    assert image == f"docker://registry.example.com/voice/rtp-pool/$name:{VERSION}"
    assert f"\nhelm push dist/rtp-pool-{VERSION}.tgz oci://registry.example.com/voice\n" in readme


def test_it_compares_the_tag_before_anything_is_made(steps: list[dict[str, Any]]) -> None:
    scripts = [step["run"] for step in steps if "run" in step]
    assert '[ "$GITHUB_REF_NAME" != "v$version" ]' in scripts[0]
    assert scripts[1].startswith("make release")
