"""The operator's four loops. None waits for another.

- lease: renews the lease. All others pause without it.
- configure: looks at the cluster when it has changed, and every ten seconds, and writes the relays' configuration.
- follow: starts and ends the tasks that ask the relays, one for each.
- report: writes statuses: what changes a condition at once, numbers of calls every two seconds, figures every 15.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.kube.lease import RENEW_SECONDS, Leadership
from rtppool_operator.kube.writer import NotLeadingError, Writer
from rtppool_operator.loop.configure import Configurator, DefaultPoolKeeper, Snapshot
from rtppool_operator.loop.report import StatusReporter
from rtppool_operator.pools.default_pool import DefaultPool
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.relays.observed import POLL_SECONDS
from rtppool_operator.relays.polling import Poller
from rtppool_operator.relays.progress import RelayProgress
from rtppool_operator.status.memory import PoolView
from rtppool_operator.work_counters import CONFIGURE, POLL, REPORT, WorkCounters

log = logging.getLogger(__name__)

# Relays confirm an edit within milliseconds of each other, and one round reports all of them.
GATHER_SECONDS = 0.03
# Rounds over thousands of relays leave most of the time to other tasks.
PAUSE_PER_ROUND, MAX_PAUSE_SECONDS = 3.0, 0.5
# Between two looks for relays that are to be annotated again.
NUDGE_CHECK_SECONDS = 0.4
LEASE_RETRY_SECONDS = 1.0
# A client that edits a pool in a loop, in any namespace, must not make the operator work in a loop.
MIN_ROUND_SECONDS = 0.2
# Without a change. A round that failed in any part is repeated after POLL_SECONDS.
MAX_ROUND_SECONDS = 10.0
LEASE = "lease"


class Reconciler:
    """Runs the loops."""

    def __init__(
        self,
        cluster: Cluster,
        poller: Poller,
        leadership: Leadership,
        policy: TrustPolicy,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        *,
        default_pool: DefaultPool | None = None,
    ) -> None:
        self.counts = WorkCounters()
        self.jobs = PeriodicJobs(monotonic)
        self._poller = poller
        self._leadership = leadership
        self._monotonic = monotonic
        writer = self._writer = Writer(leadership.leads, self.counts)
        self._progress = RelayProgress()
        self._configurator = Configurator(cluster, writer, self._progress, policy, monotonic)
        self._default_pool = DefaultPoolKeeper(cluster, writer, default_pool, policy.namespace, monotonic)
        self._reporter = StatusReporter(cluster, writer, poller, self._progress, leadership.me, monotonic, unix)
        self._problems: dict[str, str] = {CONFIGURE: "the cluster was not read yet"}
        self._done_at = dict.fromkeys((CONFIGURE, POLL, REPORT), monotonic())
        self._wake = asyncio.Event()
        self._wake_later: asyncio.TimerHandle | None = None
        self._relays_seen = asyncio.Event()
        self._calls_at_seconds = float("-inf")

    @property
    def problem(self) -> str | None:
        """Why the operator does not reconcile; None when it does."""
        return self._problems.get(LEASE) or next(iter(self._problems.values()), None)

    @property
    def views(self) -> tuple[PoolView, ...]:
        """The pools with their relays; none while another operator leads."""
        return self._reporter.views if self._leadership.leads() else ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the operator does not reconcile, and why the values of the default pool do not apply."""
        return tuple(each for each in (self.problem, self._default_pool.problem) if each is not None)

    @property
    def stands_by(self) -> bool:
        """Whether a replica of this operator leads, and this one is able to take over."""
        return self._leadership.stands_by

    def stalled_seconds(self) -> float:
        """Return the time since the last round of the loop that is furthest behind, failed rounds included."""
        return self._monotonic() - min(self._done_at.values())

    def wake(self, *, soon: bool = False) -> None:
        """Start a round of the configure loop at once, because the cluster has changed, or `soon`: in two seconds.

        A status changes often, nearly always by this operator, and configures no relay.
        """
        if self._wake_later is None and soon:
            self._wake_later = asyncio.get_running_loop().call_later(POLL_SECONDS, self.wake)
        elif not soon:
            if self._wake_later is not None:
                self._wake_later.cancel()
            self._wake_later = None
            self._wake.set()

    async def run(self) -> None:
        """Run all loops until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, loop in (
                ("lease loop", self._hold_lease_forever),
                ("configure loop", self._configure_forever),
                ("follow loop", self._follow_forever),
                ("report loop", self._report_forever),
            ):
                tasks.create_task(self.jobs.keep_running(name, loop))

    async def close(self) -> None:
        """Wait for writes in progress, then release the lease."""
        await self._poller.close()
        await self._writer.finish()
        try:
            await self._leadership.release()
        except ClusterError as error:
            log.warning("the lease was not released, so the next operator waits for its end: %s", error)

    async def _hold_lease_forever(self) -> None:
        while True:
            began = self._monotonic()
            await self._guarded(LEASE, self._hold())
            pause = RENEW_SECONDS if self._leadership.leads() and LEASE not in self._problems else LEASE_RETRY_SECONDS
            await asyncio.sleep(max(0.0, began + pause - self._monotonic()))

    async def _hold(self) -> None:
        led = self._leadership.leads()
        reason = await self._leadership.hold()
        if reason is not None:
            raise NotLeadingError(f"{reason}; this operator waits, because one operator serves a cluster")
        if led:
            return
        if self._leadership.follows_another:
            self._configurator.forget()
            self._reporter.begin()
        self._wake.set()

    async def _configure_forever(self) -> None:
        while True:
            self._wake.clear()
            began = self._monotonic()
            if self._leadership.leads():
                await self._guarded(CONFIGURE, self._configure())
            self._done_at[CONFIGURE] = self._monotonic()
            await self._until(began + self._round_seconds(), self._wake)
            await asyncio.sleep(max(0.0, began + MIN_ROUND_SECONDS - self._monotonic()))

    def _round_seconds(self) -> float:
        """Return the time between two rounds: short while one has left something to do."""
        again = self._configurator.unfinished or self._default_pool.problem is not None
        return POLL_SECONDS if again or CONFIGURE in self._problems else MAX_ROUND_SECONDS

    async def _follow_forever(self) -> None:
        while True:
            self._relays_seen.clear()
            began = self._monotonic()
            snapshot = self._configurator.snapshot if self._leadership.leads() else None
            if snapshot is None:
                self._reporter.forget_relays()
            self._poller.follow(() if snapshot is None else snapshot.view.relays, self.jobs)
            self._poller.tick()
            self._done_at[POLL] = self._monotonic()
            await self._until(began + POLL_SECONDS, self._relays_seen)

    async def _report_forever(self) -> None:
        while True:
            began = self._monotonic()
            then = began + POLL_SECONDS
            snapshot = self._configurator.snapshot
            if snapshot is not None and self._leadership.leads():
                with_calls = began >= self._calls_at_seconds
                if with_calls:
                    self._calls_at_seconds = began + POLL_SECONDS
                await self._guarded(REPORT, self._report_statuses(snapshot, with_calls=with_calls))
                nudge = max(self._progress.next_nudge_seconds(), began + NUDGE_CHECK_SECONDS)
                then = min(self._calls_at_seconds, self._reporter.held_until_seconds(), nudge)
            self._done_at[REPORT] = self._monotonic()
            await asyncio.sleep(min(MAX_PAUSE_SECONDS, PAUSE_PER_ROUND * (self._done_at[REPORT] - began)))
            await self._until(then, self._poller.news)
            await asyncio.sleep(GATHER_SECONDS)

    async def _configure(self) -> None:
        began = self._monotonic()
        changed = await self._configurator.run_round()
        snapshot = self._configurator.snapshot
        self._relays_seen.set()
        if snapshot is not None:
            self.counts.pools, self.counts.relays = len(snapshot.view.pools), len(snapshot.view.relays)
            if await self._default_pool.run_round(snapshot.view):
                self._wake.set()
        if changed:
            self._poller.news.set()
        self.counts.totals["cycles"] += 1
        self.counts.last_cycle_seconds = self._monotonic() - began
        self.counts.rounds.labels(CONFIGURE).observe(self.counts.last_cycle_seconds)

    async def _report_statuses(self, snapshot: Snapshot, *, with_calls: bool) -> None:
        began = self._monotonic()
        await self._reporter.run_round(snapshot, with_calls=with_calls)
        self.counts.rounds.labels(REPORT).observe(self._monotonic() - began)
        if self._progress.next_nudge_seconds() <= self._monotonic():
            self._wake.set()

    async def _guarded(self, part: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a round, record its failure, and log a new problem or its end.

        The next round starts over from the current state of the cluster.
        """
        problem = None
        try:
            await work
        except (ClusterError, NotLeadingError) as error:
            problem = str(error)
        except Exception as error:
            problem = f"a round failed: {error!r}"
            if problem != self._problems.get(part):
                log.exception("a round failed")
        if problem is not None:
            self.counts.errors[part] += 1
            self.counts.totals["failed_cycles"] += part == CONFIGURE
        if problem == self._problems.get(part):
            return
        if problem is not None:
            self._problems[part] = problem
            log.warning("%s", problem)
            return
        del self._problems[part]
        if part == CONFIGURE:
            log.info("reconciling", extra={"fields": {"pools": self.counts.pools, "relays": self.counts.relays}})

    async def _until(self, then_seconds: float, event: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, then_seconds - self._monotonic())):
                await event.wait()
