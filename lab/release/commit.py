"""The commit of a release: its tree, its time, and the version that all parts agree on."""

from __future__ import annotations

import subprocess
import tarfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from lab.base.errors import LabError

MEMBERS = ("libs/core", "services/echo", "services/ari", "operator", "tools/callgen")
CHART = "charts/rtp-pool"
MAX_NAMED_CHANGES = 5


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a repository. `seconds` is its committer's Unix time."""

    repository: Path
    revision: str
    seconds: int

    @property
    def created(self) -> str:
        """The time as RFC 3339 writes it."""
        return datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def variables(self) -> dict[str, str]:
        """The environment that makes tools write the commit's time instead of today's."""
        return {"SOURCE_DATE_EPOCH": str(self.seconds)}

    def export(self, folder: Path) -> None:
        """Write the tree into `folder`, with the modes of the commit and without ignored files.

        Raises:
            LabError: git fails.
        """
        archive = folder.with_suffix(".tar")
        _git(self.repository, "archive", "--format=tar", "--output", str(archive), self.revision)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        archive.unlink()


def clean_commit(repository: Path) -> Commit:
    """Return the checked out commit of a working tree without changes.

    Raises:
        LabError: there is no repository, or the tree has changes, which the release would lack.
    """
    if changes := _git(repository, "status", "--porcelain").splitlines():
        named = ", ".join(change[3:] for change in changes[:MAX_NAMED_CHANGES])
        more = f" and {len(changes) - MAX_NAMED_CHANGES} more" if len(changes) > MAX_NAMED_CHANGES else ""
        raise LabError(
            f"the working tree has changes that no commit has: {named}{more}. A release is made of a commit; "
            "commit them, or put them aside with git stash --include-untracked"
        )
    revision, seconds = _git(repository, "log", "-1", "--format=%H %ct").split()
    return Commit(repository, revision, int(seconds))


def version_of(tree: Path) -> str:
    """Return the version that the chart and all packages have.

    Raises:
        LabError: they differ.
    """
    chart = yaml.safe_load((tree / CHART / "Chart.yaml").read_text(encoding="utf-8"))
    versions = {"Chart.yaml version": chart["version"], "Chart.yaml appVersion": chart["appVersion"]}
    for member in MEMBERS:
        project = tomllib.loads((tree / member / "pyproject.toml").read_text(encoding="utf-8"))
        versions[f"{member}/pyproject.toml"] = project["project"]["version"]
    return agreed(versions)


def agreed(versions: Mapping[str, str]) -> str:
    """Return the only version.

    Raises:
        LabError: there are several; the message has the place of each.
    """
    if len(set(versions.values())) != 1:
        named = ", ".join(f"{place} {version}" for place, version in versions.items())
        raise LabError(f"a release has one version, and these differ: {named}")
    return next(iter(versions.values()))


def _git(repository: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(repository), *words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(f"git could not be started: {error.strerror}. A release is made of a commit") from error
    if done.returncode != 0:
        raise LabError(f"git {words[0]} in {repository}: {done.stderr.strip()}")
    return done.stdout
