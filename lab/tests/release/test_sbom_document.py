"""The list of an image's parts, from the answers of cyclonedx-bom and dpkg."""

from __future__ import annotations

from typing import Any

from lab.base.places import REPOSITORY
from lab.release.commit import Commit
from lab.release.images import labels
from lab.release.sbom_document import completed, parse_contents

PROBED = {
    "distribution": "debian",
    "release": "13",
    "dpkg": "libstdc++6\t14.2.0-19\tamd64\nbase-files\t13.8+deb13u1\tamd64\ntzdata\t2026a-0+deb13u1\tall\n"
    "login\t1:4.16.0-2+really2.41-5\tamd64\n",
    "programs": {"tini": "0.19.0", "python": "3.13.15"},
}
PYTHON: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "metadata": {"tools": {"components": []}},
    "components": [{"bom-ref": "yarl==1", "name": "yarl", "type": "library", "version": "1"}],
}
CREATED = "2026-03-04T03:06:07Z"


def document() -> dict[str, Any]:
    return completed(PYTHON, parse_contents(PROBED), "rtp-pool/echo", "0.1.0", CREATED)


def test_debian_packages_have_package_urls_with_escaped_names_and_versions() -> None:
    urls = [part["purl"] for part in document()["components"] if part.get("purl", "").startswith("pkg:deb/")]
    assert urls == [
        "pkg:deb/debian/base-files@13.8%2Bdeb13u1?arch=amd64&distro=debian-13",
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13",
        "pkg:deb/debian/login@1%3A4.16.0-2%2Breally2.41-5?arch=amd64&distro=debian-13",
        "pkg:deb/debian/tzdata@2026a-0%2Bdeb13u1?arch=all&distro=debian-13",
    ]


def test_programs_without_a_package_and_all_python_packages_are_parts() -> None:
    parts = {part["name"]: part for part in document()["components"]}
    assert parts["yarl"] == PYTHON["components"][0]
    assert parts["python"]["purl"] == "pkg:generic/python@3.13.15"
    assert parts["tini"]["version"] == "0.19.0"


def test_each_part_has_a_reference_of_its_own() -> None:
    references = [part["bom-ref"] for part in document()["components"]]
    assert len(set(references)) == len(references) == 7


def test_the_subject_is_the_image_at_the_time_of_the_commit() -> None:
    metadata = document()["metadata"]
    assert metadata["timestamp"] == CREATED
    assert (metadata["component"]["name"], metadata["component"]["version"]) == ("rtp-pool/echo", "0.1.0")
    assert metadata["component"]["type"] == "container"
    assert metadata["tools"] == PYTHON["metadata"]["tools"]


def test_the_labels_of_a_release_name_commit_time_version_and_base() -> None:
    commit = Commit(REPOSITORY, "a" * 40, 1_772_593_567)
    assert labels(commit, "0.1.0", "python:3.13") == {
        "org.opencontainers.image.version": "0.1.0",
        "org.opencontainers.image.revision": "a" * 40,
        "org.opencontainers.image.created": CREATED,
        "org.opencontainers.image.base.name": "python:3.13",
    }
