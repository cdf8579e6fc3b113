"""From relay reports to pools: compute the statuses that may have changed, write those that are due, create events."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.kube.writer import Writer
from rtppool_operator.loop.configure import Snapshot
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.observed import POLL_SECONDS, observe
from rtppool_operator.relays.polling import MEASURED, MOVED, URGENT, Poller
from rtppool_operator.relays.progress import RelayProgress
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.figures import figures, rfc3339
from rtppool_operator.status.log_lines import condition_change_lines
from rtppool_operator.status.memory import DuePools, PoolView, nodes_of, nodes_of_relays

log = logging.getLogger(__name__)

STATUSES_AT_ONCE = 8
EVENTS_AT_ONCE = 4


@dataclass(slots=True)
class StatusReporter:
    """Keeps what it has computed and written of each pool. `me` is `NAMESPACE/POD`, the reporter of events."""

    cluster: Cluster
    writer: Writer
    poller: Poller
    progress: RelayProgress
    me: str
    monotonic: Callable[[], float]
    unix: Callable[[], float]
    _due: DuePools = field(default_factory=DuePools)
    # The relays that this operator has not heard since it leads; None before its first round.
    _unheard: set[str] | None = None

    @property
    def views(self) -> tuple[PoolView, ...]:
        """The pools as the last rounds have seen them, by name."""
        views = (memory.view for memory in self._due.memories.values() if memory.view is not None)
        return tuple(sorted(views, key=lambda view: view.pool.key))

    def held_until_seconds(self) -> float:
        """Return when the next pool is computed, whatever happens; infinity without one."""
        return self._due.held_until_seconds()

    def begin(self) -> None:
        """Start over from the cluster and the relays, because another operator has written since."""
        self.poller.keep_only(())
        self._due = DuePools()
        self._unheard = None

    def forget_relays(self) -> None:
        """Write no status of a pool until its relays have been heard again, because they are not asked meanwhile."""
        self._unheard = None

    async def run_round(self, snapshot: Snapshot, *, with_calls: bool) -> None:
        """Report the status of each pool that has news, `with_calls` also of those with another number of calls alone.

        Figures alone are reported every 15 s.

        Raises:
            NotLeadingError: another operator may be writing.
        """
        relays, now = snapshot.view.relays, self.monotonic()
        self.progress.update(relays, snapshot.desired, self.poller.last_reports, now)
        self.poller.hurry(self.progress.urgent_uids(now))
        self._due.keep_only(snapshot.desired.claims)
        silence = self.poller.silence_seconds()
        claims = self._due_claims(snapshot, now, silence, with_calls=with_calls)
        counted = self._counted(relays, silence)
        own = {claim.pool.uid: [relay for node in nodes_of(claim) for relay in counted[node]] for claim in claims}
        found = (self._computed(claim, own[claim.pool.uid], silence) for claim in claims)
        computed = [view for view in found if view is not None]
        shown = [view for view in computed if not self._awaits_relays(view)]
        await self._write(shown, snapshot.began_seconds)
        await self._write_events(shown)

    def _due_claims(
        self, snapshot: Snapshot, now_seconds: float, silence_seconds: float, *, with_calls: bool
    ) -> list[Claim]:
        relays, poller = snapshot.view.relays, self.poller
        silent = {uid for uid, last in poller.last_reports.items() if last.is_stale(silence_seconds)}
        uids = poller.take(URGENT) | (poller.take(MOVED) if with_calls else set())
        return self._due.select(
            snapshot.desired.claims.values(),
            self._due.nodes_with_news(relays, uids, silent),
            nodes_of_relays(relays, poller.take(MEASURED)),
            self._unheard_nodes(relays),
            now_seconds,
        )

    def _counted(self, relays: Iterable[RelayPod], silence_seconds: float) -> Mapping[str, list[RelayPod]]:
        """Return the relays that count, by node: not one that is being deleted and no longer answers."""
        counted: dict[str, list[RelayPod]] = defaultdict(list)
        for relay in relays:
            if not relay.terminating or self._answers(relay, silence_seconds):
                counted[relay.node].append(relay)
        return counted

    def _unheard_nodes(self, relays: Iterable[RelayPod]) -> set[str]:
        """Return the nodes whose pools have no status yet: it would call relays silent that were never asked."""
        present = {relay.uid: relay.node for relay in relays}
        before = set(present) if self._unheard is None else self._unheard & present.keys()
        self._unheard = {uid for uid in before if not self.poller.is_settled(uid)}
        return {present[uid] for uid in self._unheard}

    def _answers(self, relay: RelayPod, now_seconds: float) -> bool:
        """Return whether a relay that is being deleted still answers. It counts that long, then it is gone."""
        last = self.poller.last_reports.get(relay.uid)
        return last is not None and not last.is_stale(now_seconds)

    def _computed(self, claim: Claim, relays: Iterable[RelayPod], now_seconds: float) -> PoolView | None:
        pool, memory = claim.pool, self._due.memories[claim.pool.uid]
        try:
            observation = observe(claim, relays, self.poller.last_reports, self.poller.failures, now_seconds)
            before = [dict(each) for each in memory.conditions(pool)]
            reports = [report for _, report in observation.serving]
            status = figures(observation, memory.latency(reports, self.monotonic()))
            now = rfc3339(int(self.unix()))
            status["conditions"] = add_times(conditions(observation), before, pool.generation, now)
        except Exception:
            # A bug that one pool triggers must not stop the statuses of the others.
            memory.held_until_seconds = self.monotonic() + POLL_SECONDS
            self.writer.counts.errors["status"] += 1
            if not memory.is_broken:
                memory.is_broken = True
                log.exception("the status can't be computed", extra={"fields": {"pool": pool.key}})
            return None
        memory.is_broken = False
        memory.view = PoolView(observation, status, before)
        return memory.view

    def _awaits_relays(self, view: PoolView) -> bool:
        """Return whether a status is held back, because relays are about to confirm an edit."""
        memory = self._due.memories[view.pool.uid]
        until = memory.awaits_relays_until(view.pool, view.status, self.monotonic())
        if until is not None:
            memory.held_until_seconds = until
        return until is not None

    async def _write(self, computed: list[PoolView], read_at_seconds: float) -> None:
        now, memories = self.monotonic(), self._due.memories
        due = [
            view for view in computed if memories[view.pool.uid].is_due(view.pool, view.status, read_at_seconds, now)
        ]
        # Until they are written, also when this round fails.
        for view in due:
            memories[view.pool.uid].held_until_seconds = now + POLL_SECONDS
        calls = [partial(self.cluster.write_status, view.pool, view.status) for view in due]
        results = await self.writer.write_all("status", calls, STATUSES_AT_ONCE)
        now = self.monotonic()
        for view, result in zip(due, results, strict=True):
            memory = memories[view.pool.uid]
            if isinstance(result, ClusterError):
                if result.is_refusal:
                    memory.refused_at_seconds = now
            # Without a result nothing was written, and a later round reads the pool again.
            elif result is not None:
                memory.record_write(view.status, result, now)
                self.writer.counts.totals["status_writes"] += 1
                for text, fields in condition_change_lines(view.pool, view.before, view.status["conditions"]):
                    log.info(text, extra={"fields": fields})

    async def _write_events(self, computed: list[PoolView]) -> None:
        now = self.monotonic()
        calls = [
            partial(self.cluster.create_event, view.pool, event, self.me)
            for view in computed
            for event in self._due.memories[view.pool.uid].events(view.before, view.status["conditions"], now)
        ]
        results = await self.writer.write_all("event", calls, EVENTS_AT_ONCE)
        self.writer.counts.totals["events"] += sum(1 for result in results if not isinstance(result, ClusterError))
