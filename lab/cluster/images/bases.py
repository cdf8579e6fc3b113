"""Base images: public ones where Docker can pull them, else Debian root file systems made on this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import REPOSITORY, Places
from lab.base.steps import Steps
from lab.cluster import versions
from lab.cluster.host.apt import install
from lab.cluster.host.docker import RECIPE_LABEL, Docker
from lab.cluster.host.machine import TRUSTED_AUTHORITIES, Machine, debian_mirror

PREFIX = "rtp-pool-base"
PYTHON_PACKAGES = ("ca-certificates", "python3-minimal", "python3-venv", "python3-pip")
BOOTSTRAP_SECONDS = 70

# As in the public slim images: no documentation, no files that apt can fetch again.
UNWANTED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
)
SETTINGS = {
    "etc/dpkg/dpkg.cfg.d/slim": "".join(f"path-exclude=/{folder}/*\n" for folder in UNWANTED[:4]),
    "etc/apt/apt.conf.d/slim": (
        'DPkg::Post-Invoke {"rm -f /var/cache/apt/archives/*.deb";};\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    ),
}


@dataclass(frozen=True, slots=True)
class Base:
    """A base image. Builds on a `made` one need the host's network to reach this machine's archives."""

    image: str
    made: bool


@dataclass(frozen=True, slots=True)
class Bases:
    """The base images of this machine."""

    docker: Docker
    machine: Machine
    places: Places
    steps: Steps

    def debian(self, suite: str) -> Base:
        """Return a slim Debian of `suite`."""
        return self._base(f"debian:{suite}-slim", f"{PREFIX}/debian:{suite}", suite, ("ca-certificates",))

    def python(self) -> Base:
        """Return Python 3.13 on Debian, the base of the product's images."""
        return self._base(public_base(), f"{PREFIX}/python:3.13", versions.PYTHON_SUITE, PYTHON_PACKAGES)

    def _base(self, public: str, made: str, suite: str, packages: Sequence[str]) -> Base:
        recipe = recipe_of(suite, *packages, self._authorities(), *UNWANTED, *SETTINGS.values())
        if self.docker.was_made_by(made, recipe):
            return Base(made, made=True)
        if self.docker.pull(public):
            return Base(public, made=False)
        root = self._root(suite, packages)
        self._make_like_public(root)
        self.docker.import_root(made, root, [f"LABEL {RECIPE_LABEL}={recipe}"])
        shutil.rmtree(root)
        return Base(made, made=True)

    def _authorities(self) -> str:
        """Return the hash of the certificate authorities that this machine trusts. A base carries them."""
        return hashlib.sha256(TRUSTED_AUTHORITIES.read_bytes()).hexdigest() if TRUSTED_AUTHORITIES.exists() else ""

    def _root(self, suite: str, packages: Sequence[str]) -> Path:
        if not self.machine.may_install:
            raise LabError(
                "images: no Debian image can be pulled, and none can be made: that needs root on "
                f"Debian (suite {suite}). Run this where Docker reaches a registry, or as root on Debian."
            )
        if shutil.which("debootstrap") is None:
            install(self.steps, "debootstrap")
        root = self.places.roots / suite
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        self.steps.run(
            f"debootstrap {suite} {packages[-1]}",
            ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, root, debian_mirror()],
            expected_seconds=BOOTSTRAP_SECONDS,
            advice="Is the Debian archive of this machine's apt reachable?",
        )
        return root

    def _make_like_public(self, root: Path) -> None:
        """Strip unneeded files, trust this machine's authorities, and provide `python` as the public image does."""
        for folder in UNWANTED:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir()
        for name, text in SETTINGS.items():
            (root / name).write_text(text)
        if TRUSTED_AUTHORITIES.exists():
            shutil.copyfile(TRUSTED_AUTHORITIES, root / str(TRUSTED_AUTHORITIES).lstrip("/"))
        for marker in (root / "usr/lib").glob("python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        if (root / "usr/bin/python3").is_symlink():
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")


def public_base() -> str:
    """Return the base that the Dockerfile names, so that its digest has one place.

    Raises:
        LabError: the Dockerfile names none.
    """
    found = re.search(r"^ARG BASE=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise LabError("Dockerfile: has no line ARG BASE=IMAGE")
    return found[1]


def recipe_of(*parts: str | bytes) -> str:
    """Return a short hash of everything that an image is made of."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:16]
