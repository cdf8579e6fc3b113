"""From relay reports to pools: compute the statuses that may have changed, write those that are due, create events."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.writer import Writer
from rtppool_operator.loop.configure import ClusterAccess, Snapshot
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
from rtppool_operator.status.pool_view import PoolView
from rtppool_operator.status.write_policy import FIGURES_PAUSE_SECONDS
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
        self._claims: dict[str, Claim] = {}
        self._computed_at: dict[str, float] = {}
        self._relays: tuple[RelayPod, ...] = ()
        self._stale: set[str] = set()
        # When the pools of these uids are computed again, whatever happens.
        self._held: dict[str, float] = {}
        # The relays that this operator has not heard since it leads; None before its first round.
        self._unheard: set[str] | None = None
        self._views: dict[str, PoolView] = {}

    @property
    def views(self) -> tuple[PoolView, ...]:
        """The pools as the last rounds have seen them, by name."""
        return tuple(sorted(self._views.values(), key=lambda view: view.observation.claim.pool.key))

    def held_until_seconds(self) -> float | None:
        """Return when the next pool is computed, whatever happens; None without one."""
        return min(self._held.values(), default=None)

    def begin(self) -> None:
        """Start over from the cluster and the relays, because another operator has written since."""
        self._poller.forget()
        self._memory = StatusMemory()
        self._claims, self._held, self._unheard = {}, {}, None

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
        nodes = self._changed_nodes(relays, silence, with_calls=with_calls)
        measured = _nodes_of_relays(relays, self._poller.take_measured())
        unheard = self._unheard_nodes(relays)
        counted: dict[str, list[RelayPod]] = defaultdict(list)
        for relay in relays:
            if not relay.terminating or self._answers(relay, silence):
                counted[relay.node].append(relay)
        computed = []
        for claim in snapshot.desired.claims.values():
            own = _nodes_of(claim)
            if not own.isdisjoint(measured):
                self._hold(claim.pool.uid, self._computed_at.get(claim.pool.uid, now) + FIGURES_PAUSE_SECONDS)
            if not own.isdisjoint(unheard) or not self._is_due(claim, own, nodes, now):
                continue
            each = self._computed(claim, [relay for node in own for relay in counted.get(node, ())], silence)
            if each is not None:
                computed.append(each)
        self._views |= {each.pool.uid: PoolView(each.observation, each.status) for each in computed}
        self._count_conditions(computed, {claim.pool.key for claim in snapshot.desired.claims.values()})
        shown = [each for each in computed if not self._awaits_relays(each)]
        await self._write(shown, snapshot.began_seconds)
        await self._write_events(shown)

    def _keep_only(self, uids: set[str]) -> None:
        """Forget all other pools."""
        self._memory.keep_only(uids)
        self._limiter.keep_only(uids)
        self._broken &= uids
        for held in (self._held, self._claims, self._computed_at, self._views):
            for uid in held.keys() - uids:
                del held[uid]

    def _changed_nodes(self, relays: tuple[RelayPod, ...], silence_seconds: float, *, with_calls: bool) -> set[str]:
        """Return the nodes whose relays have changed, have sent something, or have become silent or audible."""
        last_reports = self._poller.last_reports
        stale = {uid for uid, last in last_reports.items() if last.is_stale(silence_seconds)}
        uids = self._poller.take_urgent() | (stale ^ self._stale)
        if with_calls:
            uids |= self._poller.take_moved()
        pods = set(relays) ^ set(self._relays) if relays != self._relays else set()
        self._stale, self._relays = stale, relays
        return {relay.node for relay in pods} | _nodes_of_relays(relays, uids)

    def _hold(self, uid: str, until_seconds: float) -> None:
        """Compute a pool at a time, or sooner if it is held already."""
        self._held[uid] = min(until_seconds, self._held.get(uid, until_seconds))

    def _is_due(self, claim: Claim, own: set[str], changed: set[str], now_seconds: float) -> bool:
        """Return whether a pool is computed now. In the second after a write of its status it is held instead."""
        uid = claim.pool.uid
        then = self._held.get(uid)
        has_news = claim != self._claims.get(uid) or not own.isdisjoint(changed)
        if not has_news and (then is None or then > now_seconds):
            return False
        paused_until = self._memory.paused_until(uid, now_seconds)
        if paused_until is not None:
            self._held[uid] = paused_until
            return False
        self._held.pop(uid, None)
        self._claims[uid], self._computed_at[uid] = claim, now_seconds
        return True

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
            status = figures(observation)
            now = rfc3339(int(self._unix()))
            status["conditions"] = add_times(conditions(observation), before, pool.generation, now)
        except Exception:
            # A bug that one pool triggers must not stop the statuses of the others.
            self._held[pool.uid] = self._monotonic() + POLL_SECONDS
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
            self._held[each.pool.uid] = until
        return until is not None

    async def _write(self, computed: list[_Computed], read_at_seconds: float) -> None:
        now = self._monotonic()
        due = [each for each in computed if self._memory.is_due(each.pool, each.status, read_at_seconds, now)]
        # Until they are written, also when this round fails.
        self._held |= {each.pool.uid: now + POLL_SECONDS for each in due}
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
            self._held.pop(each.pool.uid, None)
            self._memory.record_write(each.pool.uid, each.status, result, now)
            # The watch returns this status. It is no news.
            claim = each.observation.claim
            self._claims[each.pool.uid] = replace(claim, pool=replace(claim.pool, status=result))
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


def _nodes_of(claim: Claim) -> set[str]:
    return {*claim.owned, *(name for name, _ in claim.unserved)}


def _nodes_of_relays(relays: Iterable[RelayPod], uids: Collection[str]) -> set[str]:
    return {relay.node for relay in relays if relay.uid in uids}
