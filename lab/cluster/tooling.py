"""The verbs of the cluster tooling, each as a sequence of steps."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.base.errors import LabError
from lab.base.parallel import side_by_side
from lab.base.places import REPOSITORY, Places, find_places
from lab.base.steps import Steps
from lab.cluster.code_edits import CodeEdits, read_skaffold, shown, typical
from lab.cluster.host.docker import Docker
from lab.cluster.host.engine import Engine
from lab.cluster.host.machine import Machine, inspect_machine
from lab.cluster.images.bases import Bases
from lab.cluster.images.node_image import NEEDED_PROGRAMS, NodeImage, NodeImages
from lab.cluster.images.phone_images import ASTERISK, SIPP, PhoneImages
from lab.cluster.images.phone_roots import PhoneRoots
from lab.cluster.images.previous_images import PreviousVersion, previous_images
from lab.cluster.images.product_images import COMPONENTS, ProductImages, image_of
from lab.cluster.kind.guard import VARIABLE, Target, choose_target, kind_cluster_of, own_target
from lab.cluster.kind.kind_cluster import KindCluster
from lab.cluster.kind.node_loading import NodeLoading, roles_of
from lab.cluster.kind.shape import MAIN, ONE_NODE, Shape
from lab.cluster.product import NAMESPACE, Product
from lab.cluster.programs.builds import Programs

HAND_OVERS = "tests/e2e/test_relays_hand_calls_over.py"
USER_PROGRAMS = ("kind", "kubectl", "helm")
IMAGES = (*map(image_of, COMPONENTS), ASTERISK, SIPP)


@dataclass(frozen=True, slots=True)
class Tooling:
    """The parts that the verbs use."""

    machine: Machine
    places: Places
    steps: Steps
    docker: Docker
    programs: Programs
    target: Target
    shape: Shape = MAIN

    def up(self) -> None:
        """Bring up a cluster with the product on it, Ready."""
        self.nodes_up()
        product = self._product()
        product.up({name: self.docker.image_id(image_of(name)) or "" for name in COMPONENTS})
        print(product.shown())
        print(next_commands(self.target, self.places))

    def nodes_up(self) -> None:
        """Bring up a cluster whose nodes have all images."""
        self.engine_up()
        if self.target.own:
            self.cluster().check_name_is_free()
            self.cluster().up(self._node_image())
        else:
            self.cluster().check_may_touch()
            self._build_images()
        self._load()

    def down(self) -> None:
        """Delete the lab's own cluster; programs and images are kept."""
        if not self.target.own:
            raise LabError(
                f"{VARIABLE}={self.target.context}: only a cluster that was made here is deleted. "
                "helm uninstall removes the product from this one."
            )
        if not self.docker.answers():
            raise LabError(
                "down: no Docker engine answers, so no cluster runs; start the engine to remove left-over containers"
            )
        self.cluster().down()
        self.steps.say("cluster: none")

    def images(self) -> None:
        """Build all images, and load them into the nodes."""
        self.engine_up()
        self._build_images()
        self._load()

    def previous_version(self) -> Path:
        """Build the images of the previous version, load them into the nodes, and return its chart."""
        chart = PreviousVersion(self.docker, self._bases(), self.places).up()
        self._load(previous_images())
        return chart

    def phones(self) -> None:
        """Unpack Asterisk, SIPp and baresip, and print their folder."""
        print(self.unpack_phones())

    def unpack_phones(self) -> Path:
        """Unpack the phones unless they are current; return their folder. Only unpacking needs the engine."""
        PhoneRoots(self.machine, self.places, self.steps).up(self._phone_images)
        return self.places.phones

    def status(self) -> None:
        """Show the engine, the cluster and the product; change nothing."""
        if not self.docker.answers():
            print("engine: none answers")
            return
        print("engine: running")
        cluster = self.cluster()
        if self.target.own and not cluster.exists():
            print(f"cluster {self.shape.name}: none")
            return
        if self.target.own and not cluster.is_alive():
            print(f"cluster {self.shape.name}: does not answer, or its nodes have new addresses; up creates it again")
            return
        cluster.check_may_touch()
        print(f"context: {self.target.context}")
        print(cluster.kubectl("get", "nodes").stdout.rstrip())
        print(cluster.kubectl("get", "pods", "--namespace", NAMESPACE, "--output", "wide").stdout.rstrip())
        print(self._product().shown())

    def program(self, name: str) -> None:
        """Print the path of a program; a build may take minutes."""
        print(self.programs.path(name))

    def edits(self) -> None:
        """Make an edit of each component live as `skaffold dev` does, and print how long each step took."""
        self.cluster().check_may_touch()
        cluster = kind_cluster_of(self.target)
        if cluster is None:
            raise LabError(f"edits: {self.target.context} is no kind cluster, so no image can be loaded into its nodes")
        loading = NodeLoading(self.docker, self.places, self.steps)
        edits = CodeEdits(self.docker, self._bases(), loading, self._product(), self.steps, read_skaffold())
        times = edits.measure(cluster)
        print(shown(times))
        print("\nThe median of each component:")
        print(shown(typical(times)))

    def handovers(self) -> None:
        """Restart the relays again and again under a call of a real Asterisk, and print the gaps of the call."""
        self.cluster().check_may_touch()
        words = [sys.executable, "-m", "pytest", HAND_OVERS, "-k", "twenty", "--e2e", "--full", "-q", "-s"]
        if subprocess.run(words, cwd=REPOSITORY, check=False).returncode != 0:
            raise LabError("handovers: the test failed")

    def print_environment(self) -> None:
        """Print shell lines that make kubectl and helm use the cluster."""
        for name in USER_PROGRAMS:
            self.programs.path(name)
        print("\n".join(environment_lines(self.target, self.places)))

    def engine_up(self) -> None:
        """Start a Docker engine unless one runs."""
        Engine(self.docker, self.machine, self.places, self.steps).up()

    def _node_image(self) -> NodeImage:
        """Build programs and images side by side; return the image of the nodes."""
        nodes = NodeImages(self.docker, self._bases(), self.programs, self.machine, self.places, self.steps)
        found = nodes.find()
        if found is None:
            side_by_side(self.steps, lambda: self.programs.build(NEEDED_PROGRAMS), self._build_images)
            found = nodes.make()
        else:
            self._build_images()
        for name in USER_PROGRAMS:
            self.programs.path(name)
        return found

    def _build_images(self) -> None:
        ProductImages(self.docker, self._bases()).up()
        PhoneImages(self.docker, self._bases()).up()

    def _phone_images(self) -> None:
        self.engine_up()
        PhoneImages(self.docker, self._bases()).up_all()

    def _load(self, images: Sequence[str] = IMAGES) -> None:
        cluster = kind_cluster_of(self.target)
        if cluster is None or not roles_of(cluster):
            self.steps.say(
                f"images: {self.target.context} has no nodes in this engine, so its nodes must already hold "
                f"{', '.join(images)}"
            )
            return
        NodeLoading(self.docker, self.places, self.steps).load(cluster, images)

    def _bases(self) -> Bases:
        return Bases(self.docker, self.machine, self.places, self.steps)

    def cluster(self) -> KindCluster:
        """Return the cluster to use."""
        return KindCluster(self.programs, self.machine, self.places, self.steps, self.target, NAMESPACE, self.shape)

    def _product(self) -> Product:
        return Product(self.programs, self.places, self.steps, self.target)


def make_tooling(family: str = MAIN.family) -> Tooling:
    """Compose the tooling from the environment.

    Other families than that of `make up` have a cluster of one node each, whatever the environment names.
    """
    shape = ONE_NODE.get(family, MAIN)
    places = find_places(os.environ)
    if shape is not MAIN:
        places = replace(places, cluster=family)
    steps = Steps(places.logs)
    return Tooling(
        machine=inspect_machine(),
        places=places,
        steps=steps,
        docker=Docker(steps),
        programs=Programs(places, steps),
        target=choose_target(os.environ.get(VARIABLE), places.kubeconfig)
        if shape is MAIN
        else own_target(shape, places.kubeconfig),
        shape=shape,
    )


def environment_lines(target: Target, places: Places) -> list[str]:
    """Return shell lines that select the cluster. A cluster that the user named is in the user's own configuration."""
    lines = [f"export PATH={shlex.quote(str(places.bin))}:$PATH"]
    if target.kubeconfig is not None:
        lines.insert(0, f"export KUBECONFIG={shlex.quote(str(target.kubeconfig))}")
    return lines


def next_commands(target: Target, places: Places) -> str:
    """Return the commands with which a user inspects the product."""
    lines = [
        "",
        "To use it from this shell:",
        *(f"  {line}" for line in environment_lines(target, places)),
        "Then:",
        f"  kubectl get rtppools --namespace {NAMESPACE} --output wide --watch",
        f"  kubectl get pods --namespace {NAMESPACE} --output wide",
        "Tests with real calls: make e2e. To delete the cluster: make down",
    ]
    return "\n".join(lines)
