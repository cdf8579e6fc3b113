"""The command line of a release."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import REPOSITORY, Places, find_places
from lab.base.steps import Steps
from lab.base.turns import hold_lock
from lab.cluster.host.docker import Docker
from lab.cluster.host.engine import Engine
from lab.cluster.host.machine import inspect_machine
from lab.cluster.images.bases import Bases
from lab.cluster.programs.builds import Programs
from lab.release import checksums
from lab.release.commit import Commit, clean_commit, version_of
from lab.release.files import Files
from lab.release.images import Images

CANNOT_RUN, DIFFERS = 2, 1
# A host with a dot or a port, and repositories below it: `docker push` takes it, and it is no path of this machine.
REGISTRY = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def main(arguments: Sequence[str]) -> int:
    """Make the release; return the exit code: 1 if a compared file differs, 2 if no release could be made."""
    options = parser().parse_args(arguments)
    try:
        # Read first: the file may be that of the release which this one replaces.
        published = read_checksums(options.compare) if options.compare else None
        make_release(options)
        return 0 if published is None else compare(options.output, published)
    except LabError as error:
        print(f"release: {error}", file=sys.stderr)
        return CANNOT_RUN


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    top = argparse.ArgumentParser(
        prog="python -m lab.release",
        description="Make the files of a release from the checked out commit (docs/release.md).",
    )
    top.add_argument("--no-images", action="store_true", help="leave out the images and the lists of their parts")
    top.add_argument(
        "--registry",
        type=registry,
        help="the registry of the images, such as registry.example.com/voice: chart and manifests name it",
    )
    top.add_argument(
        "--output", type=Path, default=REPOSITORY / "dist", help="the folder, which is emptied first (default dist)"
    )
    top.add_argument(
        "--compare",
        type=Path,
        metavar="SHA256SUMS",
        help="compare chart, manifests and wheels with the checksums of another run",
    )
    return top


def registry(text: str) -> str:
    """Parse the registry."""
    if not REGISTRY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a host and a path, without https:// and without a tag")
    return text


def make_release(options: argparse.Namespace) -> None:
    """Make all files in a folder of their own, and put it in the place of the earlier release.

    Raises:
        LabError: a step fails, and the earlier release stays.
    """
    output: Path = options.output.resolve()
    places = find_places(os.environ)
    steps = Steps(places.logs)
    refuse_foreign(output)
    commit = clean_commit(REPOSITORY)
    with tempfile.TemporaryDirectory(prefix="rtp-pool-release-") as workshop:
        tree, made = Path(workshop) / "tree", Path(workshop) / "dist"
        made.mkdir()
        commit.export(tree)
        version = version_of(tree)
        Files(commit, tree, version, options.registry or "", Programs(places, steps).path("helm4"), steps).write(made)
        if not options.no_images:
            write_images(commit, tree, version, places, steps, made)
        checksums.write(made)
        replace(output, made)
    print(f"release: {version} of commit {commit.revision[:12]} in {output}")
    for file in sorted(output.iterdir()):
        print(f"  {file.stat().st_size:>12,} bytes  {file.name}")


def write_images(commit: Commit, tree: Path, version: str, places: Places, steps: Steps, made: Path) -> None:
    """Build the images in their turn on this machine's engine, and write their files."""
    machine, docker = inspect_machine(), Docker(steps)
    with hold_lock(places.lock, steps.say):
        Engine(docker, machine, places, steps).up()
        base = Bases(docker, machine, places, steps).python()
        Images(commit, tree, version, base, docker, machine, steps).write(made)
    if base.made:
        steps.say(
            f"release: {base.image} was made here and trusts this machine's authorities; don't publish the images"
        )


def refuse_foreign(folder: Path) -> None:
    """Check that a folder is empty or holds a release.

    Raises:
        LabError: it holds other files, which are not deleted.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not (folder / checksums.FILE).exists():
        raise LabError(f"--output {folder}: holds other files than a release; accepted is a new or an empty folder")


def replace(folder: Path, made: Path) -> None:
    """Put the files of `made` in the place of an earlier release."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)


def read_checksums(file: Path) -> dict[str, str]:
    """Return the digests of another run.

    Raises:
        LabError: the file can't be read, or has no checksums.
    """
    try:
        found = checksums.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"--compare {file}: can't be read: {error}") from error
    if not found:
        raise LabError(f"--compare {file}: has no checksums; accepted is a SHA256SUMS of a release")
    return found


def compare(output: Path, published: Mapping[str, str]) -> int:
    """Print the files that differ from published checksums; return the exit code."""
    found = checksums.differences(read_checksums(output / checksums.FILE), published)
    print("\n".join(found) or "release: chart, manifests and wheels have the published digests")
    return DIFFERS if found else 0
