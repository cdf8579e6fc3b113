"""The one task that ties the operator together: look, write the configuration, ask relays, write status; again.

What can't be looked at is left as it is: a missing API server costs no call and no configuration.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rtppool_operator.cluster import ClusterError
from rtppool_operator.cluster_view import ClusterView, RelayPod
from rtppool_operator.conditions import conditions, with_times
from rtppool_operator.desired import Desired, desired_state, pods_to_refresh
from rtppool_operator.figures import figures, rfc3339
from rtppool_operator.lease import RENEW_SECONDS, Leadership
from rtppool_operator.observed import POLL_SECONDS, STALE_AFTER_SECONDS, PoolObservation, observe
from rtppool_operator.polling import Poller
from rtppool_operator.pool_events import EventLimiter, PoolEvent
from rtppool_operator.pool_spec import Pool
from rtppool_operator.status_writes import write_is_due

log = logging.getLogger(__name__)

# While relays are on their way to a new configuration their reports are awaited, not waited for.
HURRY_SECONDS = 0.4


class ClusterAccess(Protocol):
    """What the reconciler does to the cluster; every call blocks and may raise `ClusterError`."""

    def look(self) -> ClusterView:
        """Everything at one moment."""

    def write(self, text: str, *, exists: bool) -> None:
        """Write `pools.json`."""

    def refresh(self, relay: RelayPod, revision: str) -> None:
        """Annotate a relay's pod."""

    def write_status(self, pool: Pool, status: Mapping[str, Any]) -> None:
        """Replace a pool's status."""

    def tell(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
        """Create an event."""


@dataclass(slots=True)
class Counts:
    """Since the operator started; they only grow, but for the last three."""

    cycles: int = 0
    failed_cycles: int = 0
    config_writes: int = 0
    status_writes: int = 0
    events: int = 0
    pools: int = 0
    relays: int = 0
    last_cycle_seconds: float | None = None


@dataclass(slots=True)
class _Written:
    status: Mapping[str, Any]
    at_seconds: float | None = None


@dataclass(slots=True)
class Reconciler:
    """Runs for ever. `me` is `NAMESPACE/POD`."""

    cluster: ClusterAccess
    poller: Poller
    leadership: Leadership
    me: str
    counts: Counts = field(default_factory=Counts)
    problem: str | None = "the first look at the cluster is not done"
    looked_at_seconds: float = field(default_factory=time.monotonic)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _limiter: EventLimiter = field(default_factory=EventLimiter)
    _written: dict[str, _Written] = field(default_factory=dict)
    _generations: dict[str, int] = field(default_factory=dict)
    # What this operator wrote last, or found; an edit by somebody else is not what pools keep.
    _last_text: str | None = None
    _leads_until_seconds: float = 0.0
    _in_hurry: bool = False

    def pool_seen(self, uid: str, generation: int | None) -> None:
        """An event of a pool came; None is its deletion. A new generation is looked at once, a status is our own."""
        if self._generations.get(uid) == generation:
            return
        if generation is None:
            del self._generations[uid]
        else:
            self._generations[uid] = generation
        self._wake.set()

    async def run(self) -> None:
        """Reconcile every two seconds, and at once when woken."""
        while True:
            self._wake.clear()
            started = time.monotonic()
            try:
                await self._turn()
            except ClusterError as error:
                self.counts.failed_cycles += 1
                self._note(str(error))
            except Exception as error:
                # The next round starts from what is then; one object that can't be handled must not stop all others.
                self.counts.failed_cycles += 1
                log.exception("a round failed")
                self._note(f"a round failed: {error!r}")
            self.looked_at_seconds = time.monotonic()
            pause = HURRY_SECONDS if self._in_hurry else POLL_SECONDS
            try:
                async with asyncio.timeout(max(0.0, started + pause - time.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Let the next operator begin at once."""
        await self.poller.close()
        try:
            await asyncio.to_thread(self.leadership.give_up)
        except ClusterError as error:
            log.warning("the lease was not given up, the next operator waits for its end: %s", error)

    async def cycle(self) -> None:
        """Look, write the configuration, ask relays, write status.

        Raises:
            ClusterError: the cluster can't be looked at or written to.
        """
        started = time.monotonic()
        view = await asyncio.to_thread(self.cluster.look)
        desired = desired_state(view, self._last_text)
        await self._configure(view, desired)
        await self.poller.poll(view.relays)
        now = time.monotonic()
        relays = [relay for relay in view.relays if not relay.terminating or self._speaks(relay, now)]
        observations = [
            observe(claim, relays, self.poller.heard, self.poller.failures, now) for claim in desired.claims.values()
        ]
        self._in_hurry = any(_on_its_way(observation) for observation in observations)
        for observation in observations:
            await self._report(observation)
        self._forget({pool.uid for pool in view.pools})
        self.counts.cycles += 1
        self.counts.pools, self.counts.relays = len(view.pools), len(view.relays)
        self.counts.last_cycle_seconds = time.monotonic() - started

    def _speaks(self, relay: RelayPod, now_seconds: float) -> bool:
        """A relay that is being stopped counts while it answers: its calls live on. Then it is gone, not silent."""
        last = self.poller.heard.get(relay.uid)
        return last is not None and now_seconds - last.at_seconds <= STALE_AFTER_SECONDS

    async def _turn(self) -> None:
        if time.monotonic() >= self._leads_until_seconds:
            other = await asyncio.to_thread(self.leadership.hold)
            if other is not None:
                self._last_text = None
                self._note(f"operator {other} holds the lease; this one waits. One release per cluster")
                return
            self._leads_until_seconds = time.monotonic() + RENEW_SECONDS
        await self.cycle()
        self._note(None)

    async def _configure(self, view: ClusterView, desired: Desired) -> None:
        if view.written != desired.text:
            await asyncio.to_thread(self.cluster.write, desired.text, exists=view.written is not None)
            self.counts.config_writes += 1
            log.info("configuration written", extra={"fields": {"revision": desired.revision}})
        self._last_text = desired.text
        for relay in pods_to_refresh(view.relays, desired):
            await asyncio.to_thread(self.cluster.refresh, relay, desired.revision_of(relay.node))

    async def _report(self, observation: PoolObservation) -> None:
        pool = observation.claim.pool
        written = self._written.setdefault(pool.uid, _Written(pool.status))
        status = figures(observation)
        before = written.status.get("conditions", [])
        status["conditions"] = with_times(conditions(observation), before, pool.generation, rfc3339(int(time.time())))
        now = time.monotonic()
        max_loss_ppm = pool.spec.sla.max_loss_ppm if pool.spec is not None else None
        if write_is_due(written.status, status, written.at_seconds, now, max_loss_ppm):
            await asyncio.to_thread(self.cluster.write_status, pool, status)
            self._written[pool.uid] = _Written(status, now)
            self.counts.status_writes += 1
        for event in self._limiter.events(pool.uid, before, status["conditions"], now):
            await asyncio.to_thread(self.cluster.tell, pool, event, self.me)
            self.counts.events += 1

    def _forget(self, uids: set[str]) -> None:
        self._limiter.forget(uids)
        for uid in [uid for uid in self._written if uid not in uids]:
            del self._written[uid]

    def _note(self, problem: str | None) -> None:
        """One line per change."""
        if problem == self.problem:
            return
        if problem is not None:
            log.warning("%s", problem)
        else:
            log.info("reconciling", extra={"fields": {"pools": self.counts.pools, "relays": self.counts.relays}})
        self.problem = problem


def _on_its_way(observation: PoolObservation) -> bool:
    spec = observation.claim.pool.spec
    if spec is None or spec.paused:
        return False
    return any(
        relay.report is not None and relay.report.config_error is None and not observation.runs_current(relay.report)
        for relay in observation.live
    )
