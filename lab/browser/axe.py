"""axe-core, the rules of accessibility, out of npm and pinned by hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.base.places import Places
from lab.base.steps import Steps
from lab.cluster.programs.npm_packages import NpmPackages

RECIPE = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True)
class Axe:
    """The script, in the cache."""

    places: Places
    steps: Steps

    def script(self) -> str:
        """Return the script's text, after installing the package where needed.

        Raises:
            LabError: the package can't be had.
        """
        modules = NpmPackages("axe-core", RECIPE, self.places, self.steps).modules()
        return (modules / "axe-core/axe.min.js").read_text(encoding="utf-8")
