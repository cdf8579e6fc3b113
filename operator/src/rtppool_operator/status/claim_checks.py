"""Accepted and Conflicted: the conditions that need the cluster's pools and nodes alone."""

from __future__ import annotations

from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.reasons import Reason, join_first, otherwise, reason
from rtppool_operator.status.text import shorten


def _refused(name: str, remedy: str) -> Reason:
    @reason(name, "False", remedy)
    def refused(observation: PoolObservation) -> str | None:
        claim = observation.claim
        if claim.refusal is None or claim.refusal.reason != name:
            return None
        kept = "; its relays keep their last configuration until it is deleted or accepted" if claim.owned else ""
        return shorten(claim.refusal.message) + kept

    return refused


@reason("Invalid", "False", "Correct the field. Until then relays keep their configuration.")
def _invalid(observation: PoolObservation) -> str | None:
    problem = observation.claim.pool.problem
    return None if problem is None else shorten(problem)


@reason(
    "Conflicted",
    "False",
    "Delete one of them, or give this pool a nodeSelector: it takes precedence over a pool without one.",
)
def _every_node_lost(observation: PoolObservation) -> str | None:
    claim = observation.claim
    if not claim.lost or claim.owned or claim.unserved:
        return None
    remedy = "delete one of them, or give this pool a nodeSelector"
    return f"other pools own every node: {_pairs(claim.lost)}; {remedy}"


@reason("NoAddress", "False", "Use HostIP or Static, or let the cloud assign external addresses to the nodes.")
def _no_address(observation: PoolObservation) -> str | None:
    claim = observation.claim
    if not claim.unserved or claim.owned:
        return None
    remedy = "set advertise.source to HostIP or Static"
    return f"no node has an address to advertise: {_pairs(claim.unserved)}; {remedy}"


@reason("NodeOwned", "True", "Make the selectors disjoint. Precedence decides until then.")
def _node_owned(observation: PoolObservation) -> str | None:
    lost = observation.claim.lost
    remedy = "make the selectors disjoint"
    return f"other pools own nodes that this pool claims: {_pairs(lost)}; {remedy}" if lost else None


@reason("Preferred", "False", "No action is needed: the other pools have NodeOwned.")
def _preferred(observation: PoolObservation) -> str | None:
    wanted = observation.claim.wanted_by
    return f"this pool owns nodes that other pools claim as well: {_pairs(wanted)}" if wanted else None


def _pairs(nodes: tuple[tuple[str, str], ...]) -> str:
    return join_first([f"{node} ({which})" for node, which in nodes])


ACCEPTED = (
    _refused(
        "NamespaceNotHonoured",
        "The administrator of the release adds the namespace to operator.poolNamespaces, or deletes the pool. "
        "See docs/security.md.",
    ),
    _invalid,
    _refused(
        "NotAllowed",
        "Use a listed host, or extend operator.allowedEchoHosts or operator.allowedAdvertiseAddresses. "
        "Until then relays keep their configuration.",
    ),
    _every_node_lost,
    _no_address,
    otherwise("Accepted", "True", "the spec is valid"),
)
CONFLICTED = (_node_owned, _preferred, otherwise("NoConflict", "False", "no other pool claims a node of this one"))
