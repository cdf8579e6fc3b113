"""The clusters of the lab: that of `make up`, and one of one node for each other address family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind cluster by name, number of workers beside the control plane, and kind's `ipFamily`."""

    name: str
    workers: int
    family: str

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return 1 + self.workers

    @property
    def context(self) -> str:
        """The name of the cluster's context in a kubeconfig."""
        return f"kind-{self.name}"


MAIN = Shape("rtp-pool", workers=2, family="ipv4")
ONE_NODE = {family: Shape(f"rtp-pool-{family}", workers=0, family=family) for family in ("ipv6", "dual")}
