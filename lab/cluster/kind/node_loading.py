"""Images of the local engine in the nodes of a kind cluster, each loaded only where it is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.base.errors import LabError
from lab.base.parallel import side_by_side
from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster.host.docker import Docker

LABEL = "rtppool.engine-id"
CTR = ("ctr", "--namespace", "k8s.io", "images")
LISTED_COLUMNS = 2
WORKER = "worker"


@dataclass(frozen=True, slots=True)
class NodeLoading:
    """The images of the nodes."""

    docker: Docker
    places: Places
    steps: Steps

    def load(self, cluster: str, images: Sequence[str]) -> None:
        """Load `images` into the workers of the kind cluster that lack them, or into its only node.

        Raises:
            LabError: one is not in the engine, or cannot be loaded.
        """
        wanted = {full_name(image): self._id(image) for image in images}
        missing = {node: outdated(wanted, self._loaded(node)) for node in worker_nodes(roles_of(cluster))}
        needed = sorted(set().union(*missing.values()))
        if not needed:
            self.steps.say(f"images: all {len(wanted)} are in the nodes")
            return
        archive = self.places.image_archive
        try:
            self.steps.run(
                "save images",
                ["docker", "save", "--output", archive, *needed],
                expected_seconds=15,
                advice="Is the disk full?",
            )
            self._import(archive, {node: names for node, names in missing.items() if names}, wanted)
        finally:
            archive.unlink(missing_ok=True)

    def _import(self, archive: Path, missing: Mapping[str, list[str]], wanted: Mapping[str, str]) -> None:
        def into(node: str) -> None:
            with archive.open("rb") as source:
                self.steps.run(
                    f"load images into {node}",
                    ["docker", "exec", "--interactive", node, *CTR, "import", "--snapshotter", "overlayfs", "-"],
                    expected_seconds=60,
                    advice="Is the disk full?",
                    source=source,
                )
            for name, image_id in wanted.items():
                _must(["docker", "exec", node, *CTR, "label", name, f"{LABEL}={image_id}"])

        side_by_side(self.steps, *(partial(into, node) for node in missing))

    def _id(self, image: str) -> str:
        found = self.docker.image_id(image)
        if found is None:
            raise LabError(f"images: {image} is not in the engine; the verb `images` builds it")
        return found

    def _loaded(self, node: str) -> dict[str, str]:
        return loaded_images(_must(["docker", "exec", node, *CTR, "list"]))


def roles_of(cluster: str) -> dict[str, str]:
    """Return the role of each node container of the kind cluster, by name."""
    label = f"label=io.x-k8s.kind.cluster={cluster}"
    columns = '{{.Names}} {{.Label "io.x-k8s.kind.role"}}'
    lines = ask(["docker", "ps", "--filter", label, "--format", columns]).stdout.splitlines()
    return dict(sorted((name, role) for name, _, role in (line.partition(" ") for line in lines)))


def worker_nodes(roles: Mapping[str, str]) -> list[str]:
    """Return the nodes that run pods of a user. A control plane runs them only where there are no workers."""
    return [name for name, role in roles.items() if role == WORKER] or list(roles)


def full_name(image: str) -> str:
    """Return containerd's name of an image of the engine."""
    return f"docker.io/{image}"


def outdated(wanted: Mapping[str, str], loaded: Mapping[str, str]) -> list[str]:
    """Return the names of images that a node has in another version or not at all."""
    return sorted(name for name, image_id in wanted.items() if loaded.get(name) != image_id)


def loaded_images(printed: str) -> dict[str, str]:
    """Parse `ctr images list` into the engine's identity of each image that was loaded from there."""
    found = {}
    for line in printed.splitlines():
        words = line.split()
        for label in words[-1].split(",") if len(words) >= LISTED_COLUMNS else []:
            name, _, value = label.partition("=")
            if name == LABEL:
                found[words[0]] = value
    return found


def _must(command: Sequence[str]) -> str:
    answer = ask(command, seconds=60)
    if answer.returncode != 0:
        raise LabError(f"images: {' '.join(command)}: {answer.stderr.strip()}")
    return answer.stdout
