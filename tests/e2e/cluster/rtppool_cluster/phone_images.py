"""Images of the programs that place and take real calls: Asterisk and SIPp."""

from __future__ import annotations

from dataclasses import dataclass

from rtppool_cluster import versions
from rtppool_cluster.bases import PREFIX, Bases, recipe_of
from rtppool_cluster.docker import Docker
from rtppool_cluster.errors import ClusterError
from rtppool_cluster.places import HERE
from rtppool_cluster.steps import ask

ASTERISK = f"{PREFIX}/asterisk:{versions.ASTERISK_MAJOR}"
SIPP = f"{PREFIX}/sipp:3"
FOLDER = HERE / "images"


@dataclass(frozen=True, slots=True)
class PhoneImages:
    """Makes both images."""

    docker: Docker
    bases: Bases

    def up(self) -> None:
        """Have both images.

        Raises:
            ClusterError: when they can't be made, or Debian's Asterisk is another release than 22.
        """
        self._make(ASTERISK, "asterisk", versions.ASTERISK_SUITE, expected_seconds=90)
        self._make(SIPP, "sipp", versions.SIPP_SUITE, expected_seconds=30)
        told = ask(["docker", "run", "--rm", "--network", "none", ASTERISK, "asterisk", "-V"]).stdout.strip()
        if not told.startswith(f"Asterisk {versions.ASTERISK_MAJOR}."):
            raise ClusterError(
                f"images: {ASTERISK} says {told or 'nothing'!r}; {versions.ASTERISK_MAJOR} is needed. Debian "
                f"{versions.ASTERISK_SUITE} may have moved on: choose another suite in versions.py."
            )

    def _make(self, image: str, name: str, suite: str, expected_seconds: int) -> None:
        dockerfile = FOLDER / f"{name}.Dockerfile"
        recipe = recipe_of(dockerfile.read_bytes(), suite)
        if self.docker.was_made_by(image, recipe):
            return
        base = self.bases.debian(suite)
        self.docker.build(
            image,
            dockerfile,
            FOLDER,
            expected_seconds=expected_seconds,
            arguments={"BASE": base.image},
            recipe=recipe,
            host_network=base.made,
        )
