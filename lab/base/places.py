"""Where things are kept: all in one cache folder, nothing in the user's own configuration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = REPOSITORY / "lab/cluster/recipes"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders and files below the cache folder `root`."""

    root: Path

    @property
    def programs(self) -> Path:
        """One folder for each program and version that was built."""
        return self.root / "programs"

    def make_workshop(self, name: str) -> Path:
        """Make an empty folder in which one process builds a program, beside the place where it is kept."""
        folder = self.programs / f".{name}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @property
    def bin(self) -> Path:
        """Links to the programs that are in use, for a user's PATH."""
        return self.root / "bin"

    @property
    def logs(self) -> Path:
        """One file for each step."""
        return self.root / "logs"

    @property
    def roots(self) -> Path:
        """Debian root file systems that images were made from."""
        return self.root / "roots"

    @property
    def phones(self) -> Path:
        """Asterisk and SIPp, each in a folder that is its root file system."""
        return self.root / "phones"

    @property
    def go_environment(self) -> Path:
        """A virtual environment that holds Go."""
        return self.root / "go"

    @property
    def kubeconfig(self) -> Path:
        """Holds our own cluster alone; the user's kubeconfig is never written."""
        return self.root / "kubeconfig"

    @property
    def lock(self) -> Path:
        """Held by the run that changes something."""
        return self.root / "lock"

    @property
    def record(self) -> Path:
        """Says which cluster was made by us."""
        return self.root / "cluster.json"


def find_places(variables: Mapping[str, str]) -> Places:
    """Use RTPPOOL_CACHE, or `rtp-pool` in the user's cache folder."""
    if named := variables.get("RTPPOOL_CACHE"):
        return Places(Path(named).expanduser().resolve())
    base = variables.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Places(Path(base).expanduser().resolve() / "rtp-pool")
