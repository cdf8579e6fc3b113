"""The image of the nodes: kind's own where it can be pulled, else one made of Debian and the built programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import RECIPES, Places
from lab.base.steps import Steps, ask
from lab.cluster import versions
from lab.cluster.host.docker import Docker
from lab.cluster.host.machine import TRUSTED_AUTHORITIES, Machine
from lab.cluster.images.bases import PREFIX, Bases, recipe_of
from lab.cluster.programs.builds import KUBERNETES, Programs

MADE = f"{PREFIX}/node:v{versions.KUBERNETES}"
WITHOUT_IMAGES = f"{PREFIX}/node-without-images:v{versions.KUBERNETES}"
WRAPPER_SETTING = "BinaryName"
REGISTRY = "registry.k8s.io"
CONTAINERD_SECONDS = 30.0

# The images that kubeadm starts, by program.
STATIC_IMAGES = {
    "kube-apiserver": f"kube-apiserver:v{versions.KUBERNETES}",
    "kube-controller-manager": f"kube-controller-manager:v{versions.KUBERNETES}",
    "kube-scheduler": f"kube-scheduler:v{versions.KUBERNETES}",
    "etcd": f"etcd:{versions.ETCD_TAG}",
    "coredns": f"coredns/coredns:v{versions.COREDNS}",
    "pause": f"pause:{versions.PAUSE_TAG}",
}
PROXY_IMAGE = f"kube-proxy:v{versions.KUBERNETES}"
NEEDED_PROGRAMS = (*KUBERNETES, "etcd", "coredns", "pause")


@dataclass(frozen=True, slots=True)
class NodeImage:
    """The image that kind starts as a node."""

    name: str
    made: bool


@dataclass(frozen=True, slots=True)
class NodeImages:
    """The node image of this machine."""

    docker: Docker
    bases: Bases
    programs: Programs
    machine: Machine
    places: Places
    steps: Steps

    def find(self) -> NodeImage | None:
        """Return the image if it is local or can be pulled, or None."""
        if self.docker.was_made_by(MADE, self._recipe()):
            return NodeImage(MADE, made=True)
        if runs_public_nodes(self.machine) and self.docker.pull(versions.NODE_IMAGE):
            return NodeImage(versions.NODE_IMAGE, made=False)
        return None

    def make(self) -> NodeImage:
        """Make the image from programs that were built before."""
        base = self.bases.debian(versions.NODE_SUITE)
        images = [self._static_image(program, name) for program, name in STATIC_IMAGES.items()]
        with self._context("kube-proxy") as context:
            link(self.programs.kept("kube-proxy"), context / "kube-proxy")
            images.append(f"{PREFIX}/{PROXY_IMAGE}")
            self._build(images[-1], "kube-proxy", context, base.image, host_network=base.made)
        with self._context("node") as context:
            self._stage_node(context)
            self._build(WITHOUT_IMAGES, "node", context, base.image, host_network=base.made)
        self._commit_with(images)
        for image in (*images, WITHOUT_IMAGES):
            ask(["docker", "image", "rm", image])
        return NodeImage(MADE, made=True)

    def _recipe(self) -> str:
        files = sorted(
            path for folder in ("node", "images") for path in (RECIPES / folder).rglob("*") if path.is_file()
        )
        return recipe_of(
            versions.KUBERNETES,
            versions.ETCD,
            versions.COREDNS,
            versions.PAUSE_TAG,
            versions.NODE_SUITE,
            str(self.machine.may_raise_limits),
            *(path.read_bytes() for path in files if path.name not in {"asterisk.Dockerfile", "sipp.Dockerfile"}),
        )

    def _build(self, image: str, name: str, context: Path, base: str, *, host_network: bool) -> None:
        self.docker.build(
            image,
            RECIPES / f"images/{name}.Dockerfile",
            context,
            expected_seconds=45,
            arguments={"BASE": base, "KUBERNETES": versions.KUBERNETES},
            host_network=host_network,
        )

    @contextlib.contextmanager
    def _context(self, name: str) -> Iterator[Path]:
        folder = self.places.root / "contexts" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def _static_image(self, program: str, name: str) -> str:
        """Make an image that holds one static program."""
        image = f"{PREFIX}/{name}"
        with self._context(program) as root:
            for folder in ("usr/local/bin", "etc/ssl/certs", "tmp"):
                (root / folder).mkdir(parents=True)
            link(self.programs.kept(program), root / "usr/local/bin" / program)
            if TRUSTED_AUTHORITIES.exists():
                shutil.copyfile(TRUSTED_AUTHORITIES, root / str(TRUSTED_AUTHORITIES).lstrip("/"))
            self.docker.import_root(image, root, [f'ENTRYPOINT ["/usr/local/bin/{program}"]'])
        return image

    def _stage_node(self, context: Path) -> None:
        shutil.copytree(RECIPES / "node", context / "node")
        if self.machine.may_raise_limits:
            settings = context / "node/etc/containerd/config.toml"
            lines = settings.read_text().splitlines(keepends=True)
            settings.write_text("".join(line for line in lines if WRAPPER_SETTING not in line))
        for program in ("kubeadm", "kubelet", "kubectl"):
            link(self.programs.kept(program), context / program)

    def _commit_with(self, images: list[str]) -> None:
        """Put the control plane's images into the node's own containerd, started in a container, and commit it."""
        container = f"rtp-pool-node-{os.getpid()}"
        started = ask(
            [
                *("docker", "run", "--detach", "--privileged", "--network", "none", "--name", container),
                *("--entrypoint", "sleep", WITHOUT_IMAGES, "infinity"),
            ],
            seconds=60,
        )
        if started.returncode != 0:
            raise LabError(f"image {MADE}: a privileged container could not be started: {started.stderr.strip()}")
        try:
            inside = ["docker", "exec", container]
            ask(["docker", "exec", "--detach", container, "containerd"])
            wait_for([*inside, "ctr", "version"])
            self._copy_images(images, container)
            for image in images:
                name = image.removeprefix(f"{PREFIX}/")
                self._must(
                    [*inside, "ctr", "-n", "k8s.io", "images", "tag", f"docker.io/{image}", f"{REGISTRY}/{name}"]
                )
                self._must([*inside, "ctr", "-n", "k8s.io", "images", "rm", f"docker.io/{image}"])
            self._must([*inside, "sh", "-c", 'kill $(cat /proc/[0-9]*/stat | grep "(containerd)" | cut -d" " -f1)'])
            time.sleep(1)  # until containerd has closed its database
            self.steps.run(
                f"image {MADE}",
                [
                    *("docker", "commit", "--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint"]'),
                    *("--change", f"LABEL rtppool.recipe={self._recipe()}", container, MADE),
                ],
                expected_seconds=10,
                advice="Is the disk full?",
            )
        finally:
            ask(["docker", "rm", "--force", container], seconds=60)

    def _copy_images(self, images: list[str], container: str) -> None:
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as archive:
            self.steps.run(
                "load control plane images",
                [
                    "docker",
                    "exec",
                    "--interactive",
                    container,
                    "ctr",
                    "-n",
                    "k8s.io",
                    "images",
                    "import",
                    "--no-unpack",
                    "-",
                ],
                expected_seconds=15,
                advice="Is the disk full?",
                source=archive.stdout,
            )

    def _must(self, command: list[str]) -> None:
        answer = ask(command)
        if answer.returncode != 0:
            raise LabError(f"image {MADE}: {' '.join(command)}: {answer.stderr.strip()}")


def runs_public_nodes(machine: Machine) -> bool:
    """Return whether kind's node image starts here. It needs cgroup v2 since Kubernetes 1.35, and all root rights."""
    return machine.has_cgroup_v2 and machine.may_raise_limits


def link(source: Path, target: Path) -> None:
    """Link a file to a second place, or copy it where it cannot be linked."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def wait_for(command: list[str]) -> None:
    """Wait until a command succeeds."""
    deadline = time.monotonic() + CONTAINERD_SECONDS
    while ask(command, seconds=5).returncode != 0:
        if time.monotonic() > deadline:
            raise LabError(f"image {MADE}: {' '.join(command)} did not succeed in {CONTAINERD_SECONDS:.0f} s")
        time.sleep(0.3)
