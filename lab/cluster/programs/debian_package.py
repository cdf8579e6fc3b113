"""Programs out of Debian packages, unpacked without an installation: an installed one would start a service."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps, ask

VERSION = "debian"  # of the machine's own release
PACKAGE_OF = {"prometheus": "prometheus", "promtool": "prometheus"}
EXPECTED_SECONDS = 10
ADVICE = "Is the Debian archive of this machine's apt reachable?"


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package of the machine's Debian archive."""

    name: str
    places: Places
    steps: Steps

    def find(self, program: str) -> Path:
        """Return the path of a program, after downloading the package where needed.

        Raises:
            LabError: the download fails, or the package has no such program.
        """
        folder = self.places.programs / f"{self.name}-{VERSION}"
        if not folder.exists():
            self._download(folder)
        found = folder / "usr/bin" / program
        if not found.exists():
            raise LabError(f"package {self.name}: has no program {program}")
        return found

    def _download(self, folder: Path) -> None:
        """Download the package with apt, which checks its hash, and move it into the cache in one step."""
        workshop = self.places.make_workshop(self.name)
        if ask(["apt-cache", "show", self.name]).returncode != 0:
            self.steps.run("apt update", ["apt-get", "update", "-qq"], expected_seconds=10, advice=ADVICE)
        self.steps.run(
            f"download {self.name}",
            ["apt-get", "download", self.name],
            expected_seconds=EXPECTED_SECONDS,
            advice=ADVICE,
            folder=workshop,
        )
        unpacked = workshop / "unpacked"
        self.steps.run(
            f"unpack {self.name}",
            ["dpkg-deb", "--extract", next(workshop.glob("*.deb")), unpacked],
            expected_seconds=EXPECTED_SECONDS,
        )
        unpacked.replace(folder)
        shutil.rmtree(workshop)
