"""The writes that passed a proxy, and whether each writer held the Lease."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The operator writes these without the Lease: the Lease itself, and the definition at its start.
FREE = ("/leases", "/customresourcedefinitions")
LEASES = "/leases"


@dataclass(frozen=True, slots=True)
class ForwardedWrite:
    """A write that the API server accepted, in monotonic seconds. `holder` is the new holder of a written Lease."""

    began_seconds: float
    ended_seconds: float
    path: str
    holder: str | None = None


def holder_in(path: str, body: bytes) -> str | None:
    """Return the holder in the body of a write of a Lease."""
    if LEASES not in path:
        return None
    return str(json.loads(body)["spec"]["holderIdentity"])


def writes_without_lease(by_operator: Mapping[str, Sequence[ForwardedWrite]]) -> list[str]:
    """Return a line for each write that began after another operator had taken the Lease.

    The keys are the identities of the operators. Before the first write of the Lease its holder is unknown.
    """
    leases = sorted(
        (write.ended_seconds, write.holder)
        for writes in by_operator.values()
        for write in writes
        if write.holder is not None
    )
    found = []
    for operator, writes in by_operator.items():
        for write in writes:
            holder = next((holder for at, holder in reversed(leases) if at <= write.began_seconds), operator)
            if holder != operator and not any(part in write.path for part in FREE):
                found.append(f"{operator} wrote {write.path} while {holder or 'no operator'} held the lease")
    return found
