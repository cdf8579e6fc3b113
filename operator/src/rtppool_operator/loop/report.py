"""From relay reports to pools: compute the statuses that may have changed, write those that are due, create events."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.writer import Writer
from rtppool_operator.loop.configure import ClusterAccess, Snapshot
from rtppool_operator.loop.due_pools import DuePools, nodes_of, nodes_of_relays
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool
from rtppool_operator.relays.followers import Followers
from rtppool_operator.relays.observed import POLL_SECONDS, PoolObservation, observe
from rtppool_operator.relays.polling import Poller
from rtppool_operator.relays.progress import RelayProgress
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.events import EventLimiter
from rtppool_operator.status.figures import figures, rfc3339
from rtppool_operator.status.log_lines import condition_change_lines
from rtppool_operator.status.memory import StatusMemory
from rtppool_operator.status.merged_window import RecentLatency
from rtppool_operator.status.pool_view import PoolView
from rtppool_operator.work_counters import WorkCounters

log = logging.getLogger(__name__)

STATUSES_AT_ONCE = 8
EVENTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Computed:
    pool: Pool
    observation: PoolObservation
    before: list[dict[str, Any]]
    status: dict[str, Any]


class StatusReporter:
    """Keeps the last written status of each pool. `me` is `NAMESPACE/POD`, the reporter of events."""

    def __init__(
        self,
        cluster: ClusterAccess,
        writer: Writer,
        poller: Poller,
        followers: Followers,
        progress: RelayProgress,
        me: str,
        counts: WorkCounters,
        monotonic: Callable[[], float],
        unix: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._writer = writer
        self._poller = poller
        self._followers = followers
        self._progress = progress
        self._me = me
        self._counts = counts
        self._monotonic = monotonic
        self._unix = unix
        self._memory = StatusMemory()
        self._limiter = EventLimiter()
        self._broken: set[str] = set()
        self._due = DuePools()
        self._latency = RecentLatency()
        # The relays that this operator has not heard since it leads; None before its first round.
        self._unheard: set[str] | None = None
        self._views: dict[str, PoolView] = {}

    @property
    def views(self) -> tuple[PoolView, ...]:
        """The pools as the last rounds have seen them, by name."""
        return tuple(sorted(self._views.values(), key=lambda view: view.observation.claim.pool.key))

    def held_until_seconds(self) -> float | None:
        """Return when the next pool is computed, whatever happens; None without one."""
        return self._due.held_until_seconds()

    def begin(self) -> None:
        """Start over from the cluster and the relays, because another operator has written since."""
        self._followers.follow(())
        self._memory = StatusMemory()
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
        relays, now = snapshot.view.relays, self._monotonic()
        self._progress.update(relays, snapshot.desired, self._poller.last_reports, now)
        self._followers.hurry(self._progress.urgent_uids(now))
        self._keep_only(set(snapshot.desired.claims))
        silence = self._poller.silence_seconds()
        claims = self._due_claims(snapshot, now, silence, with_calls=with_calls)
        counted = self._counted(relays, silence)
        own = {claim.pool.uid: [relay for node in nodes_of(claim) for relay in counted[node]] for claim in claims}
        found = (self._computed(claim, own[claim.pool.uid], silence) for claim in claims)
        computed = [each for each in found if each is not None]
        self._views |= {each.pool.uid: PoolView(each.observation, each.status) for each in computed}
        self._count_conditions(computed, {claim.pool.key for claim in snapshot.desired.claims.values()})
        shown = [each for each in computed if not self._awaits_relays(each)]
        await self._write(shown, snapshot.began_seconds)
        await self._write_events(shown)

    def _keep_only(self, uids: set[str]) -> None:
        """Forget all other pools."""
        self._memory.keep_only(uids)
        self._limiter.keep_only(uids)
        self._due.keep_only(uids)
        self._latency.keep_only(uids)
        self._broken &= uids
        self._views = {uid: view for uid, view in self._views.items() if uid in uids}

    def _due_claims(
        self, snapshot: Snapshot, now_seconds: float, silence_seconds: float, *, with_calls: bool
    ) -> list[Claim]:
        relays, poller = snapshot.view.relays, self._poller
        silent = {uid for uid, last in poller.last_reports.items() if last.is_stale(silence_seconds)}
        uids = poller.take_urgent() | (poller.take_moved() if with_calls else set())
        return self._due.select(
            snapshot.desired.claims.values(),
            self._due.nodes_with_news(relays, uids, silent),
            nodes_of_relays(relays, poller.take_measured()),
            self._unheard_nodes(relays),
            self._memory,
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
        self._unheard = {uid for uid in before if not self._poller.is_settled(uid)}
        return {present[uid] for uid in self._unheard}

    def _answers(self, relay: RelayPod, now_seconds: float) -> bool:
        """Return whether a relay that is being deleted still answers. It counts that long, then it is gone."""
        last = self._poller.last_reports.get(relay.uid)
        return last is not None and not last.is_stale(now_seconds)

    def _computed(self, claim: Claim, relays: Iterable[RelayPod], now_seconds: float) -> _Computed | None:
        pool = claim.pool
        try:
            observation = observe(claim, relays, self._poller.last_reports, self._poller.failures, now_seconds)
            before = list(self._memory.conditions(pool))
            reports = [report for _, report in observation.serving]
            status = figures(observation, self._latency.of(pool.uid, reports, self._monotonic()))
            now = rfc3339(int(self._unix()))
            status["conditions"] = add_times(conditions(observation), before, pool.generation, now)
        except Exception:
            # A bug that one pool triggers must not stop the statuses of the others.
            self._due.hold(pool.uid, self._monotonic() + POLL_SECONDS)
            self._counts.errors["status"] += 1
            if pool.uid not in self._broken:
                self._broken.add(pool.uid)
                log.exception("the status can't be computed", extra={"fields": {"pool": pool.key}})
            return None
        self._broken.discard(pool.uid)
        return _Computed(pool, observation, [dict(each) for each in before], status)

    def _count_conditions(self, computed: list[_Computed], keys: set[str]) -> None:
        """Keep the conditions of every pool that still exists, for /metrics."""
        counted = self._counts.conditions
        for key in counted.keys() - keys:
            del counted[key]
        for each in computed:
            counted[each.pool.key] = {held["type"]: held["status"] for held in each.status["conditions"]}

    def _awaits_relays(self, each: _Computed) -> bool:
        """Return whether a status is held back, because relays are about to confirm an edit."""
        until = self._memory.awaits_relays_until(each.pool, each.status, self._monotonic())
        if until is not None:
            self._due.hold(each.pool.uid, until)
        return until is not None

    async def _write(self, computed: list[_Computed], read_at_seconds: float) -> None:
        now = self._monotonic()
        due = [each for each in computed if self._memory.is_due(each.pool, each.status, read_at_seconds, now)]
        # Until they are written, also when this round fails.
        for each in due:
            self._due.hold(each.pool.uid, now + POLL_SECONDS)
        calls = [partial(self._cluster.write_status, each.pool, each.status) for each in due]
        results = await self._writer.write_all("status", calls, STATUSES_AT_ONCE)
        now = self._monotonic()
        for each, result in zip(due, results, strict=True):
            if isinstance(result, ClusterError):
                if result.is_refusal:
                    self._memory.record_refusal(each.pool.uid, now)
                continue
            if result is None:
                # Nothing was written; a later round reads the pool again.
                continue
            self._memory.record_write(each.pool.uid, each.status, result, now)
            self._due.record_write(each.observation.claim, result)
            self._counts.status_writes += 1
            for text, fields in condition_change_lines(each.pool, each.before, each.status["conditions"]):
                log.info(text, extra={"fields": fields})

    async def _write_events(self, computed: list[_Computed]) -> None:
        now = self._monotonic()
        calls = [
            partial(self._cluster.create_event, each.pool, event, self._me)
            for each in computed
            for event in self._limiter.events(each.pool.uid, each.before, each.status["conditions"], now)
        ]
        results = await self._writer.write_all("event", calls, EVENTS_AT_ONCE)
        self._counts.events += sum(1 for result in results if not isinstance(result, ClusterError))
