"""The kind cluster: made, found alive, or made again when its engine was stopped in between."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster.host.machine import Machine
from lab.cluster.images.node_image import NodeImage
from lab.cluster.kind.guard import CLUSTER, Record, Target, check_may_delete, check_may_touch, read_record
from lab.cluster.kind.kind_config import WORKERS, kind_config
from lab.cluster.kind.pod_network import Node, join_pod_networks, read_nodes
from lab.cluster.programs.builds import Programs

NODES = 1 + WORKERS
READY_SECONDS = 120.0
NODE_LABEL = f"label=io.x-k8s.kind.cluster={CLUSTER}"
ADDRESS = '{.status.addresses[?(@.type=="InternalIP")].address}'
ADDRESSES = f'--output=jsonpath={{range .items[*]}}{{.metadata.name}} {ADDRESS}{{"\\n"}}{{end}}'
READINESS = '--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'


def addresses_by_node(lines: str) -> dict[str, str]:
    """Read lines of a node's name, as Docker (with a leading slash) or Kubernetes gives it, and its address."""
    pairs = (line.split() for line in lines.splitlines() if line.strip())
    return {name.lstrip("/"): " ".join(rest) for name, *rest in pairs}


@dataclass(frozen=True, slots=True)
class KindCluster:
    """Our own cluster."""

    programs: Programs
    machine: Machine
    places: Places
    steps: Steps
    target: Target

    def up(self, image: NodeImage) -> None:
        """Return when all nodes are ready.

        Raises:
            LabError: when it can't be made, or a cluster of the same name was made by somebody else.
        """
        if self.exists() and not self.is_alive():
            check_may_delete(self.record())
            self.steps.say("cluster: what an earlier engine left behind does not answer; it is made again")
            self.down()
        if not self.exists():
            self._create(image)
        self.check_may_touch()
        if image.made:
            join_pod_networks(self._nodes())
        self._wait_for_nodes()
        self.steps.say(f"cluster: {NODES} nodes ready")

    def down(self) -> None:
        """Delete our cluster, if there is one."""
        if self.exists():
            check_may_delete(self.record())
            self.steps.run(
                "delete cluster",
                [
                    *(self.programs.path("kind"), "delete", "cluster", "--name", CLUSTER),
                    *("--kubeconfig", self.places.kubeconfig),
                ],
                expected_seconds=10,
            )
        self.places.record.unlink(missing_ok=True)
        self.places.kubeconfig.unlink(missing_ok=True)

    def check_name_is_free(self) -> None:
        """Refuse at once, before anything long is begun, when somebody else made a cluster of our name.

        Raises:
            LabError: then.
        """
        if self.exists():
            check_may_delete(self.record())

    def exists(self) -> bool:
        """Whether containers of a cluster of our name exist, dead or alive."""
        return bool(ask(["docker", "ps", "--all", "--quiet", "--filter", NODE_LABEL]).stdout.strip())

    def record(self) -> Record | None:
        """Read what was written down when the cluster was made."""
        place = self.places.record
        return read_record(place.read_text() if place.exists() else None)

    def is_alive(self) -> bool:
        """Whether the API answers and the nodes still have the addresses that they joined with.

        An engine that was stopped may start the containers again, with other addresses or each other's: nodes never
        recover from either.
        """
        containers = ask(["docker", "ps", "--quiet", "--filter", NODE_LABEL]).stdout.split()
        if len(containers) != NODES:
            return False
        template = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        now = ask(["docker", "inspect", "--format", template, *containers]).stdout
        return addresses_by_node(now) == addresses_by_node(self.kubectl("get", "nodes", ADDRESSES).stdout)

    def kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Ask the cluster something."""
        return ask([self.programs.path("kubectl"), *self.target.kubectl_arguments(), "--request-timeout=5s", *words])

    def check_may_touch(self) -> None:
        """Refuse a cluster that is neither ours nor named by the user; write down what tells ours from others.

        Raises:
            LabError: for such a cluster, and for one that does not answer.
        """
        answer = self.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
        if answer.returncode != 0:
            raise LabError(f"context {self.target.context}: does not answer: {answer.stderr.strip()}")
        uid = answer.stdout.strip()
        record = self.record()
        check_may_touch(self.target, record, uid)
        if self.target.own and record is not None and not record.uid:
            self.places.record.write_text(Record(CLUSTER, uid).to_text())

    def _create(self, image: NodeImage) -> None:
        """The record is written first: a cluster that was only half made is ours as well."""
        self.places.record.write_text(Record(CLUSTER, "").to_text())
        config = self.places.root / "kind.json"
        config.write_text(kind_config(self.machine, made_node_image=image.made))
        self.steps.run(
            "create cluster",
            [
                *(self.programs.path("kind"), "create", "cluster", "--name", CLUSTER, "--image", image.name),
                *("--config", config, "--kubeconfig", self.places.kubeconfig),
            ],
            expected_seconds=50,
            advice="Free memory helps (4 GiB are enough); `docker ps --all` shows what is left, `down` removes it.",
        )

    def _nodes(self) -> list[Node]:
        """Wait until every node has joined and got its part of the pods' network."""
        deadline = time.monotonic() + READY_SECONDS
        while len(nodes := read_nodes(self.kubectl("get", "nodes", "--output=json").stdout)) != NODES:
            if time.monotonic() > deadline:
                raise LabError(f"cluster: {len(nodes)} nodes have a pod network, where {NODES} are needed")
            time.sleep(0.5)
        return nodes

    def _wait_for_nodes(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (states := self.kubectl("get", "nodes", READINESS).stdout.split()) != ["True"] * NODES:
            if time.monotonic() > deadline:
                raise LabError(
                    f"cluster: nodes are ready as {states}, where {NODES} times True is needed. See kubectl get nodes"
                )
            time.sleep(1)
