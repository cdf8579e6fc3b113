"""Chart, manifests and wheels, which are the same bytes for the same commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.steps import Steps
from lab.release.chart import add_registry
from lab.release.commit import CHART, MEMBERS, Commit

DEFINITION = f"{CHART}/files/rtppools.yaml"
PLACEHOLDER = "registry.example.com/voice"
NAMESPACE = "rtp-pool"
TOKEN_SECRET = "rtp-http-token"  # noqa: S105 the name of a Secret
RANDOM_CONTENT = '--from-literal=token="$(openssl rand -hex 24)"'
SETTINGS = ("--set", f"httpToken.existingSecret={TOKEN_SECRET}")
# The packages' own backend. pip would start two processes more for each package.
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
ADVICE = "Run the command at the top of that file by hand to see more."


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one commit, made from its exported tree. An empty `registry` leaves the choice to the user."""

    commit: Commit
    tree: Path
    version: str
    registry: str
    helm: Path
    steps: Steps

    def write(self, folder: Path) -> None:
        """Write chart, manifests and wheels into `folder`.

        Raises:
            LabError: helm or setuptools fails.
        """
        self.write_chart(folder)
        self.write_manifests(folder)
        self.write_wheels(folder)

    def write_chart(self, folder: Path) -> None:
        """Package the chart, after its defaults have become those of the registry."""
        if self.registry:
            add_registry(self.tree / CHART, self.registry, self.version)
        self.steps.run(
            "helm package",
            [self.helm, "package", self.tree / CHART, "--destination", folder],
            expected_seconds=2,
            advice=ADVICE,
            variables=self.commit.variables,
        )

    def write_manifests(self, folder: Path) -> None:
        """Render the chart with its default values, and copy the definition of RtpPool."""
        registry = self.registry or PLACEHOLDER
        words = ("template", "rtp", str(self.tree / CHART), "--namespace", NAMESPACE, "--no-hooks")
        command = [str(self.helm), *words, "--set", f"image.registry={registry}", *SETTINGS]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"helm template: {done.stderr.strip()}")
        header = manifests_header(self.version, self.registry)
        (folder / f"rtp-pool-{self.version}.yaml").write_text(header + done.stdout, encoding="utf-8")
        shutil.copyfile(self.tree / DEFINITION, folder / f"rtp-pool-{self.version}-crd.yaml")

    def write_wheels(self, folder: Path) -> None:
        """Build a wheel of each package."""
        with _common_umask():
            for member in MEMBERS:
                self.steps.run(
                    f"wheel of {member}",
                    [sys.executable, "-c", BUILD, folder.resolve()],
                    expected_seconds=2,
                    advice=ADVICE,
                    folder=self.tree / member,
                    variables=self.commit.variables,
                )


@contextmanager
def _common_umask() -> Iterator[None]:
    """Let files have the same modes for every user: a wheel contains the modes of its metadata."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def manifests_header(version: str, registry: str) -> str:
    """Return the comment at the top of the manifests: the commands that come before them."""
    file = f"rtp-pool-{version}.yaml"
    lines = [
        f"rtp-pool {version}, rendered from the chart with its default values. Before the first installation:",
        f"  kubectl create namespace {NAMESPACE}",
        f"  kubectl label namespace {NAMESPACE} pod-security.kubernetes.io/enforce=privileged",
        f"  kubectl create secret generic {TOKEN_SECRET} --namespace {NAMESPACE} {RANDOM_CONTENT}",
    ]
    if registry:
        lines += ["Then, and for an upgrade:", f"  kubectl apply --filename {file}"]
    else:
        lines += [
            "Then, and for an upgrade, with your registry:",
            f"  sed 's#{PLACEHOLDER}#REGISTRY#' {file} | kubectl apply --filename -",
        ]
    return "".join(f"# {line}\n" for line in lines)
