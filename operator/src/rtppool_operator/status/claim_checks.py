"""Accepted and Conflicted: the conditions that need the cluster's pools and nodes alone."""

from __future__ import annotations

from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.reasons import Check, Condition, join_first, make_condition
from rtppool_operator.status.text import shorten


def _not_honoured(observation: PoolObservation) -> Condition | None:
    return _refused(observation, "NamespaceNotHonoured")


def _not_allowed(observation: PoolObservation) -> Condition | None:
    return _refused(observation, "NotAllowed")


def _refused(observation: PoolObservation, reason: str) -> Condition | None:
    claim = observation.claim
    if claim.refusal is None or claim.refusal.reason != reason:
        return None
    kept = "; its relays keep their last configuration until it is deleted or accepted" if claim.owned else ""
    return make_condition("Accepted", reason, shorten(claim.refusal.message) + kept)


def _invalid(observation: PoolObservation) -> Condition | None:
    problem = observation.claim.pool.problem
    return make_condition("Accepted", "Invalid", shorten(problem)) if problem is not None else None


def _every_node_lost(observation: PoolObservation) -> Condition | None:
    claim = observation.claim
    if not claim.lost or claim.owned or claim.unserved:
        return None
    remedy = "delete one of them, or give this pool a nodeSelector"
    return make_condition("Accepted", "Conflicted", f"other pools own every node: {_lost(observation)}; {remedy}")


def _no_address(observation: PoolObservation) -> Condition | None:
    claim = observation.claim
    if not claim.unserved or claim.owned:
        return None
    names = join_first([f"{node} ({why})" for node, why in claim.unserved])
    remedy = "set advertise.source to HostIP or Static"
    return make_condition("Accepted", "NoAddress", f"no node has an address to advertise: {names}; {remedy}")


def _accepted(observation: PoolObservation) -> Condition:
    del observation
    return make_condition("Accepted", "Accepted", "the spec is valid")


def _node_owned(observation: PoolObservation) -> Condition | None:
    if not observation.claim.lost:
        return None
    message = f"other pools own nodes that this pool claims: {_lost(observation)}; make the selectors disjoint"
    return make_condition("Conflicted", "NodeOwned", message)


def _preferred(observation: PoolObservation) -> Condition | None:
    wanted = observation.claim.wanted_by
    if not wanted:
        return None
    names = join_first([f"{node} ({other})" for node, other in wanted])
    return make_condition("Conflicted", "Preferred", f"this pool owns nodes that other pools claim as well: {names}")


def _no_conflict(observation: PoolObservation) -> Condition:
    del observation
    return make_condition("Conflicted", "NoConflict", "no other pool claims a node of this one")


def _lost(observation: PoolObservation) -> str:
    return join_first([f"{node} ({winner})" for node, winner in observation.claim.lost])


ACCEPTED: tuple[Check, ...] = (_not_honoured, _invalid, _not_allowed, _every_node_lost, _no_address, _accepted)
CONFLICTED: tuple[Check, ...] = (_node_owned, _preferred, _no_conflict)
