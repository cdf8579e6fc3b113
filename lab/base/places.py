"""Folders, caches and addresses. The lab keeps everything in one cache folder and writes no user configuration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts/rtp-pool"
DEFINITION_FILE = CHART / "files/rtppools.yaml"
RECIPES = REPOSITORY / "lab/cluster/recipes"  # of images, nodes and Kubernetes
REFERENCE = REPOSITORY / "lab/bench/reference"  # programs in C and Go
INHERITED = ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Places:
    """The folders and files below the cache folder `root`. `cluster` is empty for the cluster of `make up`."""

    root: Path
    cluster: str = ""

    @property
    def programs(self) -> Path:
        """One folder for each program and version."""
        return self.root / "programs"

    @property
    def bin(self) -> Path:
        """Links to the programs in use, for a user's PATH."""
        return self.root / "bin"

    @property
    def logs(self) -> Path:
        """One file for each step. Clusters that are created side by side have folders of their own."""
        return self.root / "logs" / self.cluster

    @property
    def roots(self) -> Path:
        """Debian root file systems that images are made from."""
        return self.root / "roots"

    @property
    def phones(self) -> Path:
        """The root file systems of Asterisk and SIPp."""
        return self.root / "phones"

    @property
    def go_environment(self) -> Path:
        """A virtual environment that holds Go."""
        return self.root / "go"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the lab's own cluster. The user's is never written."""
        return self.root / f"kubeconfig{self._of_cluster}"

    @property
    def lock(self) -> Path:
        """The lock of a command that changes something."""
        return self.root / "lock"

    @property
    def record(self) -> Path:
        """The record of the cluster that the lab made."""
        return self.root / f"cluster{self._of_cluster}.json"

    @property
    def kind_config(self) -> Path:
        """The configuration that the cluster was created from."""
        return self.root / f"kind{self._of_cluster}.json"

    @property
    def audit_policy(self) -> Path:
        """The audit policy of the cluster's API server."""
        return self.root / f"audit-policy{self._of_cluster}.json"

    @property
    def image_archive(self) -> Path:
        """The images on their way into the cluster's nodes."""
        return self.root / f"images{self._of_cluster}.tar"

    @property
    def _of_cluster(self) -> str:
        return f"-{self.cluster}" if self.cluster else ""

    def make_workshop(self, name: str) -> Path:
        """Make an empty folder in which one process builds a program, beside the place where it is kept."""
        folder = self.programs / f".{name}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def find_places(variables: Mapping[str, str]) -> Places:
    """Return RTPPOOL_CACHE, or `rtp-pool` in the user's cache folder."""
    if named := variables.get("RTPPOOL_CACHE"):
        return Places(Path(named).expanduser().resolve())
    base = variables.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Places(Path(base).expanduser().resolve() / "rtp-pool")


def inherited_variables() -> dict[str, str]:
    """Return the environment that a started program inherits; no setting of the product is in it."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}
