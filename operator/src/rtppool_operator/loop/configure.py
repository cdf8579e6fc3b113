"""From the cluster's pools and nodes to the relays: read the cluster, write `pools.json`, annotate relay pods."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.writer import Writer
from rtppool_operator.loop.default_pool_keeper import DefaultPoolStore
from rtppool_operator.pools.cluster_view import ClusterView, RelayPod
from rtppool_operator.pools.desired import Desired, desired_state, pods_to_refresh
from rtppool_operator.pools.event import PoolEvent
from rtppool_operator.pools.spec import Pool
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.relays.progress import RelayProgress
from rtppool_operator.status.log_lines import pool_change_lines
from rtppool_operator.work_counters import WorkCounters

log = logging.getLogger(__name__)

ANNOTATIONS_AT_ONCE = 16


class ClusterAccess(DefaultPoolStore, Protocol):
    """The operator's access to the cluster. Every call may raise `ClusterError`."""

    def read_view(self) -> ClusterView:
        """Return the cluster as watches show it, or raise `ClusterError` while they are out of date."""

    def list_anew(self) -> None:
        """Have no view until the cluster was read again, because the watches may be behind."""

    async def write(self, text: str, *, exists: bool) -> None:
        """Write `pools.json`."""

    async def refresh(self, relay: RelayPod, revision: str) -> None:
        """Annotate a relay's pod."""

    async def write_status(self, pool: Pool, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Replace a pool's status, and return it as stored; None when nothing was written."""

    async def create_event(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
        """Create an event."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The cluster at the last round and the desired state. `began_seconds` is when that round began, monotonic."""

    view: ClusterView
    desired: Desired
    began_seconds: float


class Configurator:
    """Keeps the last snapshot and the last written state. `unfinished`: the last round could not annotate each pod."""

    def __init__(
        self,
        cluster: ClusterAccess,
        writer: Writer,
        progress: RelayProgress,
        counts: WorkCounters,
        policy: TrustPolicy,
        monotonic: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._policy = policy
        self._writer = writer
        self._progress = progress
        self._counts = counts
        self._monotonic = monotonic
        self.snapshot: Snapshot | None = None
        self.unfinished = False
        # A pool that keeps its entry keeps the operator's last one, not another client's edit of the ConfigMap.
        self._last: Desired | None = None

    def forget(self) -> None:
        """Start over from the cluster, because another operator has written since.

        The watches of an operator that stood by may be silent for a minute without notice.
        """
        self._cluster.list_anew()
        self.snapshot, self._last = None, None

    async def run_round(self) -> bool:
        """Read the cluster, write the configuration, annotate pods. Return whether the desired state has changed.

        Raises:
            ClusterError: a watch is out of date, or the write of the configuration failed; relays keep what they have.
            NotLeadingError: another operator may be writing.
        """
        began = self._monotonic()
        view = self._cluster.read_view()
        before = self.snapshot.desired if self.snapshot is not None else None
        desired = desired_state(view, self._policy, self._last)
        if view.written != desired.text:
            write = partial(self._cluster.write, desired.text, exists=view.written is not None)
            await self._writer.write("configuration", write)
            self._counts.config_writes += 1
            log.info("configuration written", extra={"fields": {"revision": desired.revision}})
        self._last = desired
        self.snapshot = Snapshot(view, desired, began)
        for text, fields in pool_change_lines(before, desired):
            log.info(text, extra={"fields": fields})
        await self._annotate(view, desired)
        return before is None or before.text != desired.text or _generations(before) != _generations(desired)

    async def _annotate(self, view: ClusterView, desired: Desired) -> None:
        fresh = [(relay, desired.revision_of(relay.node)) for relay in pods_to_refresh(view.relays, desired)]
        new = {relay.uid for relay, _ in fresh}
        again = [
            (relay, annotation)
            for relay, annotation in self._progress.nudges_due(view.relays, self._monotonic())
            if relay.uid not in new
        ]
        wanted = (*fresh, *again)
        calls = [partial(self._cluster.refresh, relay, annotation) for relay, annotation in wanted]
        results = await self._writer.write_all("annotation", calls, ANNOTATIONS_AT_ONCE)
        done = [not isinstance(result, ClusterError) for result in results]
        self.unfinished = not all(done)
        self._counts.annotations += sum(done[: len(fresh)])
        self._counts.nudges += sum(done[len(fresh) :])


def _generations(desired: Desired) -> dict[str, int]:
    return {uid: claim.pool.generation for uid, claim in desired.claims.items()}
