"""The images of a release: built from the exported tree, saved as OCI archives, with a list of the parts of each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.steps import Steps
from lab.cluster.host.apt import install
from lab.cluster.host.docker import Docker
from lab.cluster.host.machine import Machine
from lab.cluster.images.bases import Base
from lab.cluster.images.product_images import COMPONENTS
from lab.release.commit import Commit
from lab.release.sbom import PartsList

NAMES = (*COMPONENTS, "callgen")
# The one that the tests run on. docs/release.md has the others.
ARCHITECTURE = "amd64"
LABEL = "org.opencontainers.image"


def archive_of(name: str, version: str) -> str:
    """Return the file name of an image."""
    return f"rtp-pool-{name}-{version}-{ARCHITECTURE}.tar"


def parts_list_of(name: str, version: str) -> str:
    """Return the file name of the list of an image's parts."""
    return f"rtp-pool-{name}-{version}-{ARCHITECTURE}.cdx.json"


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one commit, made on `base`."""

    commit: Commit
    tree: Path
    version: str
    base: Base
    docker: Docker
    machine: Machine
    steps: Steps

    def write(self, folder: Path) -> None:
        """Write an OCI archive and a list of the parts of each image into `folder`.

        Raises:
            LabError: a build fails, or there is no skopeo.
        """
        self._find_skopeo()
        parts = PartsList(self.steps, self.commit.created)
        for name in NAMES:
            image = f"rtp-pool/{name}:{self.version}"
            self._build(name, image)
            self._save(image, folder / archive_of(name, self.version))
            parts.write(image, f"rtp-pool/{name}", self.version, folder / parts_list_of(name, self.version))

    def _build(self, name: str, image: str) -> None:
        self.docker.build(
            image,
            self.tree / "Dockerfile",
            self.tree,
            expected_seconds=60,
            arguments={"BASE": self.base.image},
            target=name,
            labels=labels(self.commit, self.version, self.base.image),
            host_network=self.base.made,
        )

    def _save(self, image: str, file: Path) -> None:
        """Save an image. Docker's own archives have another format before version 25."""
        saved = file.with_suffix(".docker")
        self.steps.run(
            f"save {image}",
            ["docker", "save", "--output", saved, image],
            expected_seconds=5,
            advice="Is the disk full?",
        )
        self.steps.run(
            f"archive {image}",
            ["skopeo", "copy", "--insecure-policy", f"docker-archive:{saved}", f"oci-archive:{file}:{image}"],
            expected_seconds=15,
            advice="Is the disk full?",
        )
        saved.unlink()

    def _find_skopeo(self) -> None:
        if shutil.which("skopeo") is not None:
            return
        if not self.machine.may_install:
            raise LabError("images: skopeo is not on the PATH; install it with the system's package manager")
        install(self.steps, "skopeo")


def labels(commit: Commit, version: str, base: str) -> dict[str, str]:
    """Return the labels of a release. The Dockerfile has those that are the same in every build."""
    return {
        f"{LABEL}.version": version,
        f"{LABEL}.revision": commit.revision,
        f"{LABEL}.created": commit.created,
        f"{LABEL}.base.name": base,
    }
