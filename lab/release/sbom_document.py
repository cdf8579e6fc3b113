"""The list of an image's parts (SBOM) in CycloneDX: its Python packages, and what else the image contains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package in the database of dpkg."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The parts of an image outside of its Python environment.

    `programs` came without a package, each with its version: an interpreter built from source, and the init.
    """

    distribution: str
    release: str
    packages: tuple[DebianPackage, ...]
    programs: Mapping[str, str]


def parse_contents(found: Mapping[str, Any]) -> Contents:
    """Return the contents from the JSON of the program in `sbom.PROBE`."""
    packages = sorted(tuple(line.split("\t")) for line in found["dpkg"].splitlines())
    return Contents(
        found["distribution"],
        found["release"],
        tuple(DebianPackage(name, version, architecture) for name, version, architecture in packages),
        dict(sorted(found["programs"].items())),
    )


def completed(
    document: Mapping[str, Any], contents: Contents, image: str, version: str, created: str
) -> dict[str, Any]:
    """Return the document of the Python environment with the image as its subject and all other parts added."""
    subject = {"type": "container", "bom-ref": f"{image}:{version}", "name": image, "version": version}
    return {
        **document,
        "metadata": {**document.get("metadata", {}), "timestamp": created, "component": subject},
        "components": [*document["components"], *_programs(contents), *_debian(contents)],
    }


def _programs(contents: Contents) -> Iterator[dict[str, Any]]:
    for name, version in contents.programs.items():
        purl = f"pkg:generic/{name}@{quote(version, safe='.-_~')}"
        yield {"type": "application", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _debian(contents: Contents) -> Iterator[dict[str, Any]]:
    distribution = f"{contents.distribution}-{contents.release}"
    for package in contents.packages:
        place = f"{contents.distribution}/{quote(package.name, safe='.-_~')}@{quote(package.version, safe='.-_~')}"
        purl = f"pkg:deb/{place}?arch={package.architecture}&distro={distribution}"
        yield {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}
