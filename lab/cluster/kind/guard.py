"""The rule which cluster may be used: the one that the lab made, or one that the user names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.cluster.kind.shape import MAIN, Shape

VARIABLE = "KUBE_CONTEXT"


@dataclass(frozen=True, slots=True)
class Record:
    """The record of the cluster that the lab made.

    `uid` is that of its namespace kube-system, unique to a cluster; empty while the cluster is being made.
    """

    name: str
    uid: str

    def to_text(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"name": self.name, "uid": self.uid}) + "\n"


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster to use. Without a `kubeconfig`, the user's own configuration applies."""

    context: str
    kubeconfig: Path | None
    own: bool

    def kubectl_arguments(self) -> list[str]:
        """Return the arguments that select the cluster for kubectl, independent of the environment."""
        return [*self._configuration(), "--context", self.context]

    def helm_arguments(self) -> list[str]:
        """Return the arguments that select the cluster for helm, independent of the environment."""
        return [*self._configuration(), "--kube-context", self.context]

    def _configuration(self) -> list[str]:
        return [] if self.kubeconfig is None else ["--kubeconfig", str(self.kubeconfig)]


def choose_target(named: str | None, own_kubeconfig: Path) -> Target:
    """Return the context that the user named, else the lab's own. A kubeconfig's current context never counts."""
    if named:
        return Target(named, None, own=False)
    return own_target(MAIN, own_kubeconfig)


def own_target(shape: Shape, kubeconfig: Path) -> Target:
    """Return a cluster of the lab."""
    return Target(shape.context, kubeconfig, own=True)


def kind_cluster_of(target: Target) -> str | None:
    """Return the name of a context's kind cluster, or None."""
    prefix, _, name = target.context.partition("-")
    return name if prefix == "kind" and name else None


def read_record(text: str | None) -> Record | None:
    """Parse a record; None without a valid one."""
    try:
        data = json.loads(text or "null")
        return Record(str(data["name"]), str(data["uid"]))
    except (json.JSONDecodeError, TypeError, KeyError):
        return None


def check_may_touch(target: Target, record: Record | None, uid: str) -> None:
    """Refuse a cluster that the lab did not make, unless the user named it.

    Args:
        target: the cluster to use.
        record: the record of the cluster that the lab made, if any.
        uid: that of the namespace kube-system in the cluster behind `target`.

    Raises:
        LabError: the message says how to name the cluster.
    """
    if not target.own:
        return
    if record is None:
        raise LabError(
            f"context {target.context}: no record says that this cluster was made here, so it is not used. "
            f"To use it anyway: {VARIABLE}={target.context} make e2e"
        )
    if record.uid and record.uid != uid:
        raise LabError(
            f"context {target.context}: is not the cluster that was made here (kube-system has uid {uid}, "
            f"recorded is {record.uid}), so it is not used. To use it anyway: {VARIABLE}={target.context} make e2e"
        )


def check_may_delete(record: Record | None, shape: Shape = MAIN) -> None:
    """Refuse to delete a cluster of the lab's name without a record of it.

    Raises:
        LabError: the message has the command that deletes it.
    """
    if record is None:
        raise LabError(
            f"cluster {shape.name}: a kind cluster of this name exists without a record that it was made here, so it "
            f"is not deleted. Delete it by hand (kind delete cluster --name {shape.name}), or use it as it is: "
            f"{VARIABLE}={shape.context}"
        )
