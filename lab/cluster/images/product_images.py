"""The product's three images, built from the one Dockerfile."""

from __future__ import annotations

from dataclasses import dataclass

from lab.base.places import REPOSITORY
from lab.cluster.host.docker import Docker
from lab.cluster.images.bases import Bases

TAG = "dev"
COMPONENTS = ("echo", "relay", "operator")


def image_of(component: str) -> str:
    """Name a component's image."""
    return f"rtp-pool/{component}:{TAG}"


@dataclass(frozen=True, slots=True)
class ProductImages:
    """Builds them."""

    docker: Docker
    bases: Bases

    def up(self) -> None:
        """Build each anew: the engine's own cache finds what has not changed, and the image is the same then."""
        base = self.bases.python()
        for component in COMPONENTS:
            self.docker.build(
                image_of(component),
                REPOSITORY / "Dockerfile",
                REPOSITORY,
                expected_seconds=30,
                arguments={"BASE": base.image},
                target=component,
                host_network=True,
            )
