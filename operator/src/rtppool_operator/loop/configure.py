"""From the cluster's pools and nodes to the relays: read the cluster, write `pools.json`, annotate relay pods.

The values of the default pool are applied along with it, once for each change of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.kube.writer import Writer
from rtppool_operator.pools.default_pool import DefaultPool
from rtppool_operator.pools.desired import Desired, desired_state, pods_to_refresh
from rtppool_operator.pools.spec import ClusterView
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.relays.progress import RelayProgress
from rtppool_operator.status.log_lines import pool_change_lines

log = logging.getLogger(__name__)

ANNOTATIONS_AT_ONCE = 16
DEFAULT_POOL_ACTION = "default_pool"
# An administrator has to change the values, the CRD or the rights first.
REFUSED_RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The cluster at the last round and the desired state. `began_seconds` is when that round began, monotonic."""

    view: ClusterView
    desired: Desired
    began_seconds: float


@dataclass(slots=True)
class Configurator:
    """Keeps the last snapshot and the last written state. `unfinished`: the last round could not annotate each pod."""

    cluster: Cluster
    writer: Writer
    progress: RelayProgress
    policy: TrustPolicy
    monotonic: Callable[[], float]
    snapshot: Snapshot | None = None
    unfinished: bool = False
    # A pool that keeps its entry keeps the operator's last one, not another client's edit of the ConfigMap.
    _last: Desired | None = None

    def forget(self) -> None:
        """Start over from the cluster, because another operator has written since.

        The watches of an operator that stood by may be silent for a minute without notice.
        """
        self.cluster.list_anew()
        self.snapshot, self._last = None, None

    async def run_round(self) -> bool:
        """Read the cluster, write the configuration, annotate pods. Return whether the desired state has changed.

        Raises:
            ClusterError: a watch is out of date, or the write of the configuration failed; relays keep what they have.
            NotLeadingError: another operator may be writing.
        """
        began = self.monotonic()
        view = self.cluster.read_view()
        before = self.snapshot.desired if self.snapshot is not None else None
        desired = desired_state(view, self.policy, self._last)
        if view.written != desired.text:
            await self.writer.write("configuration", partial(self.cluster.write, desired.text))
            self.writer.counts.totals["config_writes"] += 1
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
            for relay, annotation in self.progress.nudges_due(view.relays, self.monotonic())
            if relay.uid not in new
        ]
        wanted = (*fresh, *again)
        calls = [partial(self.cluster.refresh, relay, annotation) for relay, annotation in wanted]
        results = await self.writer.write_all("annotation", calls, ANNOTATIONS_AT_ONCE)
        done = [not isinstance(result, ClusterError) for result in results]
        self.unfinished = not all(done)
        self.writer.counts.totals["annotations"] += sum(done[: len(fresh)])
        self.writer.counts.totals["nudges"] += sum(done[len(fresh) :])


def _generations(desired: Desired) -> dict[str, int]:
    return {uid: claim.pool.generation for uid, claim in desired.claims.items()}


@dataclass(slots=True)
class DefaultPoolKeeper:
    """Compares the values with the cluster in each round. `problem` is None without values, and once they apply."""

    cluster: Cluster
    writer: Writer
    values: DefaultPool | None
    namespace: str
    monotonic: Callable[[], float]
    problem: str | None = None
    _retry_at_seconds: float = float("-inf")

    def __post_init__(self) -> None:
        if self.values is not None:
            self.problem = f"the default pool {self.values.name} was not applied yet"

    async def run_round(self, view: ClusterView) -> bool:
        """Apply the values where they are due; return whether the pool was applied.

        Raises:
            NotLeadingError: another operator may be writing.
        """
        values = self.values
        if values is None or self.monotonic() < self._retry_at_seconds:
            return False
        due = values.is_due(view, self.namespace)
        try:
            if due:
                apply = partial(self.cluster.apply_default_pool, values.document(self.namespace))
                await self.writer.write(DEFAULT_POOL_ACTION, apply)
            elif view.default_pool != values.name and values.find(view, self.namespace) is not None:
                await self.writer.write(DEFAULT_POOL_ACTION, partial(self.cluster.record_default_pool, values.name))
        except ClusterError as error:
            self._fail(values, error)
            return False
        self.problem = None
        if due:
            log.info("default pool applied", extra={"fields": {"pool": values.name, "managed": values.managed}})
        return due

    def _fail(self, values: DefaultPool, error: ClusterError) -> None:
        problem = f"the values of the default pool {values.name} can't be applied: {error}"
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
        if error.is_refusal:
            self._retry_at_seconds = self.monotonic() + REFUSED_RETRY_SECONDS
