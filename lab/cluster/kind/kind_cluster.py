"""The kind cluster: created, reused while it is alive, or replaced after its engine was stopped."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.base.audit_policy import audit_policy, service_accounts
from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster.host.machine import Machine
from lab.cluster.images.node_image import NodeImage
from lab.cluster.kind.guard import Record, Target, check_may_delete, check_may_touch, read_record
from lab.cluster.kind.kind_config import kind_config
from lab.cluster.kind.pod_network import Node, join_pod_networks, read_nodes
from lab.cluster.kind.shape import MAIN, Shape
from lab.cluster.programs.builds import Programs

READY_SECONDS = 120.0
ADDRESS = '{.status.addresses[?(@.type=="InternalIP")].address}'
ADDRESSES = f'--output=jsonpath={{range .items[*]}}{{.metadata.name}} {ADDRESS}{{"\\n"}}{{end}}'
READINESS = '--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'


def addresses_by_node(lines: str) -> dict[str, set[str]]:
    """Parse lines of a node's name, as Docker (with a leading slash) or Kubernetes prints it, and its addresses."""
    pairs = (line.split() for line in lines.splitlines() if line.strip())
    return {name.lstrip("/"): set(rest) for name, *rest in pairs}


def have_their_addresses(containers: str, nodes: str) -> bool:
    """Return whether each node's container has all addresses of the node. A container may have others as well."""
    now, joined = addresses_by_node(containers), addresses_by_node(nodes)
    return now.keys() == joined.keys() and all(joined[name] and joined[name] <= now[name] for name in now)


def are_written(files: Mapping[Path, str]) -> bool:
    """Return whether all files exist with these texts."""
    return all(file.exists() and file.read_text() == text for file, text in files.items())


@dataclass(frozen=True, slots=True)
class KindCluster:
    """The lab's own cluster, or the one that the user named.

    Its API server logs the requests of the service accounts of `audited_namespace`.
    """

    programs: Programs
    machine: Machine
    places: Places
    steps: Steps
    target: Target
    audited_namespace: str
    shape: Shape = MAIN

    def up(self, image: NodeImage) -> None:
        """Create the cluster unless it is alive, and wait until all nodes are ready.

        Raises:
            LabError: it cannot be created, or a cluster of the same name has no record.
        """
        files = self._files(image)
        if self.exists() and (outdated := self._outdated(files)):
            check_may_delete(self.record(), self.shape)
            self.steps.say(f"cluster: {outdated}; it is created again")
            self.down()
        if not self.exists():
            self._create(image, files)
        self.check_may_touch()
        if image.made:
            join_pod_networks(self._nodes())
        self._wait_for_nodes()
        self.steps.say(f"cluster: {self.shape.nodes} nodes ready")

    def down(self) -> None:
        """Delete the lab's cluster, if it exists."""
        if self.exists():
            check_may_delete(self.record(), self.shape)
            self.steps.run(
                "delete cluster",
                [
                    *(self.programs.path("kind"), "delete", "cluster", "--name", self.shape.name),
                    *("--kubeconfig", self.places.kubeconfig),
                ],
                expected_seconds=10,
            )
        self.places.record.unlink(missing_ok=True)
        self.places.kubeconfig.unlink(missing_ok=True)

    def check_name_is_free(self) -> None:
        """Check, before any long step, that no other cluster has the lab's name.

        Raises:
            LabError: a cluster of this name exists without a record.
        """
        if self.exists():
            check_may_delete(self.record(), self.shape)

    def exists(self) -> bool:
        """Return whether containers of the cluster exist, running or not."""
        return bool(ask(["docker", "ps", "--all", "--quiet", "--filter", self._label]).stdout.strip())

    def record(self) -> Record | None:
        """Return the record of the cluster, or None."""
        place = self.places.record
        return read_record(place.read_text() if place.exists() else None)

    def is_alive(self) -> bool:
        """Return whether the API answers and the nodes have the addresses that they joined with.

        An engine that was stopped may restart the containers with other addresses. Nodes never recover from that.
        """
        containers = ask(["docker", "ps", "--quiet", "--filter", self._label]).stdout.split()
        if len(containers) != self.shape.nodes:
            return False
        template = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}"
        now = ask(["docker", "inspect", "--format", template, *containers]).stdout
        return have_their_addresses(now, self.kubectl("get", "nodes", ADDRESSES).stdout)

    def kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run kubectl on the cluster."""
        return ask([self.programs.path("kubectl"), *self.target.kubectl_arguments(), "--request-timeout=5s", *words])

    def check_may_touch(self) -> None:
        """Refuse a cluster that neither the lab made nor the user named; complete the record of a new one.

        Raises:
            LabError: the cluster is refused or does not answer.
        """
        answer = self.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
        if answer.returncode != 0:
            raise LabError(f"context {self.target.context}: does not answer: {answer.stderr.strip()}")
        uid = answer.stdout.strip()
        record = self.record()
        check_may_touch(self.target, record, uid)
        if self.target.own and record is not None and not record.uid:
            self.places.record.write_text(Record(self.shape.name, uid).to_text())

    @property
    def _label(self) -> str:
        return f"label=io.x-k8s.kind.cluster={self.shape.name}"

    def _files(self, image: NodeImage) -> dict[Path, str]:
        """Return the texts of the files that the cluster is created from."""
        policy = self.places.audit_policy
        return {
            policy: audit_policy(groups=[service_accounts(self.audited_namespace)]),
            self.places.kind_config: kind_config(self.machine, self.shape, policy, made_node_image=image.made),
        }

    def _outdated(self, files: Mapping[Path, str]) -> str | None:
        """Return the reason why an existing cluster can't be used, or None."""
        if not self.is_alive():
            return "left behind by an earlier engine and without an answer"
        if not are_written(files):
            return f"created from another configuration than today's, {self.places.kind_config}"
        return None

    def _create(self, image: NodeImage, files: Mapping[Path, str]) -> None:
        """Create the cluster after writing its record, so that a partly created cluster is the lab's as well."""
        self.places.record.write_text(Record(self.shape.name, "").to_text())
        for file, text in files.items():
            file.write_text(text)
        self.steps.run(
            "create cluster",
            [
                *(self.programs.path("kind"), "create", "cluster", "--name", self.shape.name, "--image", image.name),
                *("--config", self.places.kind_config, "--kubeconfig", self.places.kubeconfig),
            ],
            expected_seconds=50,
            advice="Free memory helps (4 GiB are enough). `docker ps --all` shows left-overs; `down` removes them.",
        )

    def _nodes(self) -> list[Node]:
        """Wait until every node has joined and has a pod network; return the nodes."""
        deadline = time.monotonic() + READY_SECONDS
        while len(nodes := read_nodes(self.kubectl("get", "nodes", "--output=json").stdout)) != self.shape.nodes:
            if time.monotonic() > deadline:
                raise LabError(f"cluster: {len(nodes)} of {self.shape.nodes} nodes have a pod network")
            time.sleep(0.5)
        return nodes

    def _wait_for_nodes(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (states := self.kubectl("get", "nodes", READINESS).stdout.split()) != ["True"] * self.shape.nodes:
            if time.monotonic() > deadline:
                raise LabError(
                    f"cluster: readiness of the nodes is {states}, {self.shape.nodes} times True is needed. "
                    "See kubectl get nodes"
                )
            time.sleep(1)
