"""One operator per cluster: the holder of a Lease.

As in client-go, the age of another holder's Lease is the local monotonic time since its last observed change. The
clocks of two machines may differ by more than the duration of a Lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from rtppool_operator.kube.api_server import WRITE_SECONDS, ApiServer, ClusterError

LEASE_NAME = "rtp-pool-operator"
# All releases of a cluster compete for one lease.
LEASE_NAMESPACE = "kube-system"
PATH = f"/apis/coordination.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/leases"
DURATION_SECONDS = 15
# A Lease edited by hand must not stop the operator for longer than this.
MAX_DURATION_SECONDS = 60
RENEW_SECONDS = 3.0
RELEASE_ATTEMPTS = 2
# A write that starts in time ends before the Lease does.
MAX_WRITE_SECONDS = float(WRITE_SECONDS)


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A Lease as read. `holder` is empty after a release and without a Lease, and every write changes `version`."""

    holder: str = ""
    version: str = ""
    duration_seconds: int = DURATION_SECONDS

    def may_be_taken(self, me: str, unchanged_seconds: float) -> bool:
        """Return whether the Lease is free, mine, or unchanged for longer than its duration."""
        return self.holder in {"", me} or unchanged_seconds > self.duration_seconds


def are_replicas(one: str, other: str) -> bool:
    """Return whether two operators, `NAMESPACE/POD` each, are of one Deployment, which names pods NAME-HASH-POD."""
    return one.rsplit("-", 2)[0] == other.rsplit("-", 2)[0]


class Leases:
    """The Lease at an API server, as JSON. Its requests are urgent: a lease can't wait."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def lease(self) -> Mapping[str, Any] | None:
        """Return the Lease; None without one."""
        return await self._api.find(f"get lease {LEASE_NAME}", f"{PATH}/{LEASE_NAME}", WRITE_SECONDS)

    async def write_lease(self, lease: Mapping[str, Any]) -> bool:
        """Replace the version in the metadata, or create the Lease; return False when it changed in the meantime."""
        try:
            if "resourceVersion" in lease["metadata"]:
                await self._api.write(f"update lease {LEASE_NAME}", "PUT", f"{PATH}/{LEASE_NAME}", lease, urgent=True)
            else:
                await self._api.write(f"create lease {LEASE_NAME}", "POST", PATH, lease, urgent=True)
        except ClusterError as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True


class Leadership:
    """Takes and renews the Lease for `me` (`NAMESPACE/POD`).

    `holder` is the other operator that the last `hold` found; empty when there was none, and until it was seen to renew
    the Lease. An operator that was killed leaves a Lease that nobody renews.

    `follows_another`: the last `hold` took the Lease, and another operator may have led since this one did.
    """

    def __init__(
        self,
        leases: Leases,
        me: str,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._leases = leases
        self.me = me
        self._monotonic = monotonic
        self._now = now
        self.holder = ""
        self.follows_another = False
        self._another_led = False
        self._has_held = False
        self._until = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))
        self._was_changed = False

    def leads(self) -> bool:
        """Return whether a write that starts now ends within our Lease."""
        return self._monotonic() < self._until

    @property
    def stands_by(self) -> bool:
        """Whether a replica of this operator leads, and this one is able to take over."""
        return are_replicas(self.holder, self.me)

    async def hold(self) -> str | None:
        """Take or renew the Lease. Return why it is not ours, or None.

        Raises:
            ClusterError: the API server can't be reached, or rejects the request.
        """
        try:
            reason = await self._take()
        except ClusterError:
            self.holder = ""
            raise
        self._another_led = reason is not None
        return reason

    async def _take(self) -> str | None:
        began = self._monotonic()
        state = _state_of(await self._leases.lease())
        if state.version and state.version != self._seen[0]:
            self._was_changed = self._seen[0] != ""
            self._seen = (state.version, self._monotonic())
        if not state.may_be_taken(self.me, self._monotonic() - self._seen[1]):
            self._until = float("-inf")
            self.holder = state.holder if self._was_changed else ""
            return f"operator {state.holder} holds the lease"
        self.holder = ""
        if not await self._leases.write_lease(self._held_by(self.me, state)):
            return "the lease changed before this operator could take it"
        self.follows_another = self._another_led or (self._has_held and state.holder != self.me)
        self._has_held = True
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
            state = _state_of(await self._leases.lease())
            if state.holder != self.me or await self._leases.write_lease(self._held_by("", state)):
                return

    def _held_by(self, holder: str, before: LeaseState) -> dict[str, Any]:
        # The API server rejects our write if the Lease has changed since we read it.
        version = {"resourceVersion": before.version} if before.version else {}
        return {
            "metadata": {"name": LEASE_NAME, "namespace": LEASE_NAMESPACE, **version},
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": DURATION_SECONDS,
                "renewTime": self._now().isoformat(timespec="microseconds"),
            },
        }


def _state_of(lease: Mapping[str, Any] | None) -> LeaseState:
    if lease is None:
        return LeaseState()
    spec = lease.get("spec") or {}
    duration = min(spec.get("leaseDurationSeconds") or DURATION_SECONDS, MAX_DURATION_SECONDS)
    return LeaseState(spec.get("holderIdentity") or "", lease["metadata"]["resourceVersion"], duration)
