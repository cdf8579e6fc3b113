"""A release is made of a commit: its tree, its time, and one version."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.release.commit import agreed, clean_commit

TIME = "2026-03-04T05:06:07+02:00"


def git(folder: Path, *words: str) -> None:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    times = {"GIT_AUTHOR_DATE": TIME, "GIT_COMMITTER_DATE": TIME, "PATH": "/usr/bin:/bin"}
    subprocess.run(["git", "-C", str(folder), *settings, *words], check=True, capture_output=True, env=times)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "kept").write_text("committed\n")
    (folder / ".gitignore").write_text("ignored\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")
    return folder


def test_a_commit_has_the_committers_time_in_utc(repository: Path) -> None:
    commit = clean_commit(repository)
    assert commit.created == "2026-03-04T03:06:07Z"
    assert commit.variables == {"SOURCE_DATE_EPOCH": "1772593567"}


@pytest.mark.parametrize("name", ["kept", "a new file", ".gitignore"])
def test_a_tree_with_changes_is_refused_by_their_names(repository: Path, name: str) -> None:
    (repository / name).write_text("changed\n")
    with pytest.raises(LabError, match=rf'changes that no commit has: "?{name}"?\. .*git stash --include-untracked'):
        clean_commit(repository)


def test_many_changes_are_counted(repository: Path) -> None:
    for number in range(8):
        (repository / f"new-{number}").touch()
    with pytest.raises(LabError, match="new-4 and 3 more"):
        clean_commit(repository)


def test_an_ignored_file_is_no_change_and_no_part_of_the_tree(repository: Path, tmp_path: Path) -> None:
    (repository / "ignored").touch()
    clean_commit(repository).export(tmp_path / "tree")
    assert sorted(file.name for file in (tmp_path / "tree").iterdir()) == [".gitignore", "kept"]


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not a git repository"):
        clean_commit(tmp_path)


def test_versions_that_differ_are_named_with_their_places() -> None:
    assert agreed({"chart": "0.2.0", "core": "0.2.0"}) == "0.2.0"
    with pytest.raises(LabError, match=r"chart 0\.2\.0, core 0\.1\.0"):
        agreed({"chart": "0.2.0", "core": "0.1.0"})
