"""Which cluster may be touched: the one that was made here, or one that the user names. Decides only; does no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError

CLUSTER = "rtp-pool"
OWN_CONTEXT = f"kind-{CLUSTER}"
VARIABLE = "KUBE_CONTEXT"


@dataclass(frozen=True, slots=True)
class Record:
    """What was written down of the cluster that was made here.

    `uid` is the one of its namespace kube-system, which no other cluster has; empty while the cluster is being made.
    """

    name: str
    uid: str

    def to_text(self) -> str:
        """Write it as JSON."""
        return json.dumps({"name": self.name, "uid": self.uid}) + "\n"


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster to work on. Without a `kubeconfig` it is the user's own configuration that is read."""

    context: str
    kubeconfig: Path | None
    own: bool

    def kubectl_arguments(self) -> list[str]:
        """Name the cluster to kubectl, whatever the environment says."""
        return [*self._configuration(), "--context", self.context]

    def helm_arguments(self) -> list[str]:
        """Name the cluster to helm, whatever the environment says."""
        return [*self._configuration(), "--kube-context", self.context]

    def _configuration(self) -> list[str]:
        return [] if self.kubeconfig is None else ["--kubeconfig", str(self.kubeconfig)]


def choose_target(named: str | None, own_kubeconfig: Path) -> Target:
    """Take the context that the user named, else our own cluster. The current context of a kubeconfig never counts."""
    if named:
        return Target(named, None, own=False)
    return Target(OWN_CONTEXT, own_kubeconfig, own=True)


def kind_cluster_of(target: Target) -> str | None:
    """Name the kind cluster that a context is of; None where it isn't one."""
    prefix, _, name = target.context.partition("-")
    return name if prefix == "kind" and name else None


def read_record(text: str | None) -> Record | None:
    """Read what `Record.to_text` wrote; None where there is nothing that can be read."""
    try:
        data = json.loads(text or "null")
        return Record(str(data["name"]), str(data["uid"]))
    except (json.JSONDecodeError, TypeError, KeyError):
        return None


def check_may_touch(target: Target, record: Record | None, uid: str) -> None:
    """Refuse a cluster that was not made here, unless the user named it.

    Args:
        target: the cluster to be worked on.
        record: of the cluster that was made here, if any.
        uid: what the cluster behind `target` says of itself.

    Raises:
        LabError: with the way to name the cluster.
    """
    if not target.own:
        return
    if record is None:
        raise LabError(
            f"context {target.context}: nothing says that this cluster was made here, so it is left alone. "
            f"To use it all the same: {VARIABLE}={target.context} make e2e"
        )
    if record.uid and record.uid != uid:
        raise LabError(
            f"context {target.context}: is another cluster than the one that was made here (kube-system has uid {uid}, "
            f"ours has {record.uid}), so it is left alone. To use it all the same: {VARIABLE}={target.context} make e2e"
        )


def check_may_delete(record: Record | None) -> None:
    """Refuse to delete a cluster of our name that somebody else made.

    Raises:
        LabError: with the command that deletes it.
    """
    if record is None:
        raise LabError(
            f"cluster {CLUSTER}: a kind cluster of this name exists, but nothing says that it was made here, so it is "
            f"left alone. Delete it by hand (kind delete cluster --name {CLUSTER}), or use it as it is: "
            f"{VARIABLE}={OWN_CONTEXT}"
        )
