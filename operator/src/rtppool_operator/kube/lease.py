"""One operator per cluster: the holder of a Lease.

As in client-go, the age of another holder's Lease is the local monotonic time since its last observed change. The
clocks of two machines may differ by more than the duration of a Lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from rtppool_operator.kube.api_server import CONFLICT, WRITE_SECONDS, ApiServer, ClusterError

LEASE_NAME = "rtp-pool-operator"
# All releases of a cluster compete for one lease.
LEASE_NAMESPACE = "kube-system"
DURATION_SECONDS = 15
# A Lease edited by hand must not stop the operator for longer than this.
MAX_DURATION_SECONDS = 60
RENEW_SECONDS = 3.0
RELEASE_ATTEMPTS = 2
# A write that starts in time ends before the Lease does.
MAX_WRITE_SECONDS = float(WRITE_SECONDS)


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A Lease as read. `holder` is empty after a release, and every write changes `version`."""

    holder: str
    version: str
    duration_seconds: int = DURATION_SECONDS


def may_take(state: LeaseState | None, me: str, unchanged_seconds: float) -> bool:
    """Return whether the Lease is free, mine, or unchanged for longer than its duration."""
    if state is None or state.holder in {"", me}:
        return True
    return unchanged_seconds > state.duration_seconds


def are_replicas(one: str, other: str) -> bool:
    """Return whether two operators, `NAMESPACE/POD` each, are of one Deployment, which names pods NAME-HASH-POD."""
    return one.rsplit("-", 2)[0] == other.rsplit("-", 2)[0]


class LeaseStore(Protocol):
    """A store of Leases as JSON."""

    async def lease(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return a Lease, or None."""

    async def write_lease(self, namespace: str, name: str, lease: Mapping[str, Any], *, exists: bool) -> bool:
        """Create or replace a Lease; return False when it changed in the meantime."""


class Leases:
    """The Leases of an API server. Their requests are urgent: a lease can't wait."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def lease(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return a Lease; None without one."""
        return await self._api.find(f"get lease {name}", f"{_path(namespace)}/{name}", WRITE_SECONDS)

    async def write_lease(self, namespace: str, name: str, lease: Mapping[str, Any], *, exists: bool) -> bool:
        """Create or replace a Lease; return False when it changed in the meantime."""
        path = _path(namespace)
        try:
            if exists:
                await self._api.write(f"update lease {name}", "PUT", f"{path}/{name}", lease, urgent=True)
            else:
                await self._api.write(f"create lease {name}", "POST", path, lease, urgent=True)
        except ClusterError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True


class Leadership:
    """Takes and renews the Lease for `me` (`NAMESPACE/POD`).

    `holder` is the other operator that the last `hold` found; empty when there was none, and until it was seen to renew
    the Lease. An operator that was killed leaves a Lease that nobody renews.
    """

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
        self.holder = ""
        self._until = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))
        self._was_changed = False

    def leads(self) -> bool:
        """Return whether a write that starts now ends within our Lease."""
        return self._monotonic() < self._until

    async def hold(self) -> str | None:
        """Take or renew the Lease. Return why it is not ours, or None.

        Raises:
            ClusterError: the API server can't be reached, or rejects the request.
        """
        began = self._monotonic()
        lease = await self._store.lease(LEASE_NAMESPACE, LEASE_NAME)
        state = _state_of(lease)
        if state is not None and state.version != self._seen[0]:
            self._was_changed = self._seen[0] != ""
            self._seen = (state.version, self._monotonic())
        if state is not None and not may_take(state, self._me, self._monotonic() - self._seen[1]):
            self._until = float("-inf")
            self.holder = state.holder if self._was_changed else ""
            return f"operator {state.holder} holds the lease"
        self.holder = ""
        mine = self._mine(lease, self._me)
        if not await self._store.write_lease(LEASE_NAMESPACE, LEASE_NAME, mine, exists=lease is not None):
            return "the lease changed before this operator could take it"
        # From before the request: the Lease can't end earlier than that for another operator.
        self._until = began + DURATION_SECONDS - MAX_WRITE_SECONDS
        return None

    async def release(self) -> None:
        """Release the Lease, so that the next operator starts at once. This operator leads no longer.

        Raises:
            ClusterError: the API server can't be reached, or rejects the request.
        """
        self._until = float("-inf")
        # A renewal that was cancelled may still arrive, and change the Lease in between.
        for _ in range(RELEASE_ATTEMPTS):
            lease = await self._store.lease(LEASE_NAMESPACE, LEASE_NAME)
            state = _state_of(lease)
            if lease is None or state is None or state.holder != self._me:
                return
            if await self._store.write_lease(LEASE_NAMESPACE, LEASE_NAME, self._mine(lease, ""), exists=True):
                return

    def _mine(self, lease: Mapping[str, Any] | None, holder: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": LEASE_NAME, "namespace": LEASE_NAMESPACE}
        if lease is not None:
            # The API server rejects our write if the Lease has changed since we read it.
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
    duration = spec.get("leaseDurationSeconds") or DURATION_SECONDS
    return LeaseState(
        spec.get("holderIdentity") or "", lease["metadata"]["resourceVersion"], min(duration, MAX_DURATION_SECONDS)
    )


def _path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
