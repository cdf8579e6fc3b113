"""The product's three images, built from one Dockerfile."""

from __future__ import annotations

from dataclasses import dataclass

from lab.base.places import REPOSITORY
from lab.cluster.host.docker import Docker
from lab.cluster.images.bases import Bases

TAG = "dev"
COMPONENTS = ("echo", "relay", "operator")


def image_of(component: str) -> str:
    """Return the name of a component's image."""
    return f"rtp-pool/{component}:{TAG}"


@dataclass(frozen=True, slots=True)
class ProductImages:
    """The images of echo, relay and operator."""

    docker: Docker
    bases: Bases

    def up(self) -> None:
        """Build all three. The engine's own cache keeps the identity of an unchanged image."""
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
