"""The images of the previous version, built from its commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.base.places import Places
from lab.base.previous_version import previous_commit, unpack
from lab.cluster.host.docker import Docker
from lab.cluster.images.bases import Bases
from lab.cluster.images.product_images import COMPONENTS

TAG = "previous"


def previous_images() -> list[str]:
    """Return the names of the previous version's images."""
    return [_image_of(component) for component in COMPONENTS]


@dataclass(frozen=True, slots=True)
class PreviousVersion:
    """Chart and images, kept by commit."""

    docker: Docker
    bases: Bases
    places: Places

    def up(self) -> Path:
        """Unpack the commit and build its images unless they are current; return the chart.

        Raises:
            LabError: the history does not have the commit, or an image can't be built.
        """
        commit = previous_commit()
        folder = self.places.root / f"previous-{commit[:12]}"
        if not folder.exists():
            unpack(commit, folder)
        for component in COMPONENTS:
            image = _image_of(component)
            if not self.docker.was_made_by(image, commit):
                self.docker.build(
                    image,
                    folder / "Dockerfile",
                    folder,
                    expected_seconds=60,
                    arguments={"BASE": self.bases.python().image},
                    recipe=commit,
                    target=component,
                    host_network=True,
                )
        return folder / "charts/rtp-pool"


def _image_of(component: str) -> str:
    return f"rtp-pool/{component}:{TAG}"
