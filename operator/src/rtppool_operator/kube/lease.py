"""One operator per cluster: whoever renews the Lease is it. Decides purely; `Leadership` does the calls.

As client-go does, a holder's silence is measured by the own monotonic clock since the Lease was last seen to change:
clocks of two machines may differ by more than a lease lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

LEASE_NAME = "rtp-pool-operator"
# All releases of a cluster share one lease.
LEASE_NAMESPACE = "kube-system"
DURATION_SECONDS = 15
# A holder that promises more is not waited for: whoever edits a Lease by hand must not stop the product for ever.
MAX_DURATION_SECONDS = 60
RENEW_SECONDS = 3.0
# Connecting and waiting for an answer. A write that is begun in time ends before another operator may begin.
MAX_WRITE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class LeaseState:
    """What a Lease says; `holder` is empty when it was given up. `version` changes with every write."""

    holder: str
    version: str
    duration_seconds: int = DURATION_SECONDS


def may_take(state: LeaseState | None, me: str, unchanged_seconds: float) -> bool:
    """Whether the Lease is mine, nobody's, or has stood unchanged for longer than its holder promised."""
    if state is None or state.holder in {"", me}:
        return True
    return unchanged_seconds > state.duration_seconds


class LeaseStore(Protocol):
    """Where Leases are, as JSON."""

    def lease(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """A Lease, or None."""

    def write_lease(self, namespace: str, name: str, lease: Mapping[str, Any], *, exists: bool) -> bool:
        """Create or replace; False when somebody else was faster."""


class Leadership:
    """Takes and renews the Lease for `me` (`NAMESPACE/POD`). `hold` blocks; `leads` may be asked before every write."""

    def __init__(
        self,
        store: LeaseStore,
        me: str,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._me = me
        self._monotonic = monotonic
        self._now = now
        self._until = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))

    def leads(self) -> bool:
        """Whether a write that begins now ends while the Lease is ours."""
        return self._monotonic() < self._until

    def hold(self) -> str | None:
        """Take or renew; returns who else holds it, or None when it is mine.

        Raises:
            ClusterError: the API server can't be asked.
        """
        began = self._monotonic()
        lease = self._store.lease(LEASE_NAMESPACE, LEASE_NAME)
        state = _state_of(lease)
        if state is not None and state.version != self._seen[0]:
            self._seen = (state.version, self._monotonic())
        if not may_take(state, self._me, self._monotonic() - self._seen[1]):
            self._until = float("-inf")
            return state.holder if state else None
        if not self._store.write_lease(LEASE_NAMESPACE, LEASE_NAME, self._mine(lease, self._me), exists=bool(lease)):
            return "that was faster"
        # From before the first byte was sent: the Lease can't end earlier than that for anybody.
        self._until = began + DURATION_SECONDS - MAX_WRITE_SECONDS
        return None

    def release(self) -> None:
        """Let the next operator begin at once; nothing may be written any more.

        Raises:
            ClusterError: the API server can't be asked.
        """
        self._until = float("-inf")
        lease = self._store.lease(LEASE_NAMESPACE, LEASE_NAME)
        state = _state_of(lease)
        if lease is not None and state is not None and state.holder == self._me:
            self._store.write_lease(LEASE_NAMESPACE, LEASE_NAME, self._mine(lease, ""), exists=True)

    def _mine(self, lease: Mapping[str, Any] | None, holder: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": LEASE_NAME, "namespace": LEASE_NAMESPACE}
        if lease is not None:
            # Whoever wrote since we read wins.
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        return {
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": DURATION_SECONDS,
                "renewTime": self._now().isoformat(timespec="microseconds"),
            },
        }


def _state_of(lease: Mapping[str, Any] | None) -> LeaseState | None:
    if lease is None:
        return None
    spec = lease.get("spec") or {}
    promised = spec.get("leaseDurationSeconds") or DURATION_SECONDS
    return LeaseState(
        spec.get("holderIdentity") or "", lease["metadata"]["resourceVersion"], min(promised, MAX_DURATION_SECONDS)
    )
