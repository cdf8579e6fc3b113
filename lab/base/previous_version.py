"""The tree of the previous version, from its commit, for tests of upgrade and rollback."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import REPOSITORY
from lab.base.steps import ask

# The file that the first version after 0.1.0 added.
ADDED_SINCE = "charts/rtp-pool/files/rtppools.yaml"


def previous_commit() -> str:
    """Return the last commit of the previous version.

    Raises:
        LabError: the history does not have it.
    """
    git = ["git", "-C", str(REPOSITORY)]
    added = ask([*git, "log", "-1", "--diff-filter=A", "--format=%H", "--", ADDED_SINCE]).stdout.strip()
    answer = ask([*git, "rev-parse", "--verify", f"{added}^"])
    if not added or answer.returncode != 0:
        raise LabError(f"previous version: the history has no commit before {ADDED_SINCE}; a complete clone has it")
    return answer.stdout.strip()


def unpack(commit: str, folder: Path) -> None:
    """Write the tree of a commit into a new folder.

    Raises:
        LabError: the history does not have the commit.
    """
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    archive = part / "archive.tar"
    answer = ask(["git", "-C", str(REPOSITORY), "archive", "--output", str(archive), commit], seconds=60)
    if answer.returncode != 0:
        raise LabError(f"previous version: git archive {commit}: {answer.stderr.strip()}")
    with tarfile.open(archive) as packed:
        packed.extractall(part, filter="data")
    archive.unlink()
    part.rename(folder)
