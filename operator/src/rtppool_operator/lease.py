"""One operator per cluster: whoever renews the Lease is it. Decides purely; `Leadership` does the calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from rtppool_operator.permissions import LEASE_NAME, LEASE_NAMESPACE

DURATION_SECONDS = 15
RENEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a Lease says; `holder` is empty when it was given up."""

    holder: str
    renewed: datetime | None
    duration_seconds: int


def may_take(held: Held | None, me: str, now: datetime) -> bool:
    """Whether the Lease is mine, nobody's, or its holder has been silent for longer than it promised."""
    if held is None or held.holder in {"", me} or held.renewed is None:
        return True
    return now - held.renewed > timedelta(seconds=held.duration_seconds)


class LeaseStore(Protocol):
    """Where Leases are."""

    def lease(self, namespace: str, name: str) -> Any | None:
        """A Lease, or None."""

    def write_lease(self, namespace: str, name: str, lease: Any, *, exists: bool) -> bool:
        """Create or replace; False when somebody else was faster."""


class Leadership:
    """Takes and renews the Lease for `me` (`NAMESPACE/POD`)."""

    def __init__(self, store: LeaseStore, me: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._me = me
        self._now = now

    def hold(self) -> str | None:
        """Take or renew; returns who else holds it, or None when it is mine.

        Raises:
            ClusterError: the API server can't be asked.
        """
        lease = self._store.lease(LEASE_NAMESPACE, LEASE_NAME)
        held = _held(lease)
        if not may_take(held, self._me, self._now()):
            return held.holder if held else None
        mine = self._mine(lease, self._me)
        if self._store.write_lease(LEASE_NAMESPACE, LEASE_NAME, mine, exists=lease is not None):
            return None
        return "another operator that was faster"

    def give_up(self) -> None:
        """Let the next operator begin at once.

        Raises:
            ClusterError: the API server can't be asked.
        """
        lease = self._store.lease(LEASE_NAMESPACE, LEASE_NAME)
        held = _held(lease)
        if lease is not None and held is not None and held.holder == self._me:
            self._store.write_lease(LEASE_NAMESPACE, LEASE_NAME, self._mine(lease, ""), exists=True)

    def _mine(self, lease: Any | None, holder: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": LEASE_NAME, "namespace": LEASE_NAMESPACE}
        if lease is not None:
            # Whoever wrote since we read wins.
            metadata["resourceVersion"] = lease.metadata.resource_version
        return {
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": DURATION_SECONDS,
                "renewTime": self._now().isoformat(timespec="microseconds"),
            },
        }


def _held(lease: Any | None) -> Held | None:
    if lease is None:
        return None
    spec = lease.spec
    return Held(spec.holder_identity or "", spec.renew_time, spec.lease_duration_seconds or DURATION_SECONDS)
