"""Images of the programs that place and answer real calls: Asterisk, SIPp and baresip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import RECIPES
from lab.base.steps import ask
from lab.cluster import versions
from lab.cluster.host.docker import Docker
from lab.cluster.images.bases import PREFIX, Bases, recipe_of

ASTERISK = f"{PREFIX}/asterisk:{versions.ASTERISK_MAJOR}"
SIPP = f"{PREFIX}/sipp:3"
BARESIP = f"{PREFIX}/baresip:1"
FOLDER = RECIPES / "images"
SUITES = {"asterisk": versions.ASTERISK_SUITE, "sipp": versions.SIPP_SUITE, "baresip": versions.BARESIP_SUITE}


@dataclass(frozen=True, slots=True)
class PhoneImages:
    """The images of the phones. Nodes need Asterisk and SIPp alone."""

    docker: Docker
    bases: Bases

    def up_all(self) -> None:
        """Build all images unless they are current.

        Raises:
            LabError: one cannot be built, or Debian's Asterisk is another release than 22.
        """
        self.up()
        self._make(BARESIP, "baresip", expected_seconds=60)

    def up(self) -> None:
        """Build the images of Asterisk and SIPp unless they are current.

        Raises:
            LabError: one cannot be built, or Debian's Asterisk is another release than 22.
        """
        self._make(ASTERISK, "asterisk", expected_seconds=90)
        self._make(SIPP, "sipp", expected_seconds=30)
        answer = ask(["docker", "run", "--rm", "--network", "none", ASTERISK, "asterisk", "-V"])
        if answer.returncode != 0:
            raise LabError(f"images: {ASTERISK} does not start (code {answer.returncode}): {answer.stderr.strip()}")
        version = answer.stdout.strip()
        if not version.startswith(f"Asterisk {versions.ASTERISK_MAJOR}."):
            raise LabError(
                f"images: {ASTERISK} reports {version!r}; Asterisk {versions.ASTERISK_MAJOR} is needed. Debian "
                f"{versions.ASTERISK_SUITE} may have moved on: choose another suite in versions.py."
            )

    def _make(self, image: str, name: str, expected_seconds: int) -> None:
        recipe = phone_recipe(name)
        if self.docker.was_made_by(image, recipe):
            return
        base = self.bases.debian(SUITES[name])
        self.docker.build(
            image,
            _dockerfile(name),
            FOLDER,
            expected_seconds=expected_seconds,
            arguments={"BASE": base.image},
            recipe=recipe,
            host_network=base.made,
        )


def phone_recipe(name: str) -> str:
    """Return the recipe of the image of `asterisk`, `sipp` or `baresip`."""
    return recipe_of(_dockerfile(name).read_bytes(), SUITES[name])


def _dockerfile(name: str) -> Path:
    return FOLDER / f"{name}.Dockerfile"
