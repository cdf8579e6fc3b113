"""The loops as they run, in virtual time, on a cluster in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from test_reconciler import MemoryCluster

from rtppool_core.contract.report import Report
from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.lease import DURATION_SECONDS, RENEW_SECONDS, Leadership
from rtppool_operator.loop.reconciler import MAX_ROUND_SECONDS, MIN_ROUND_SECONDS, Reconciler
from rtppool_operator.pools.spec import ClusterView, Pool, RelayPod
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.relays.observed import POLL_SECONDS
from rtppool_operator.relays.polling import Poller

pytestmark = pytest.mark.looptime

MakePool = Callable[..., Pool]


class TimedCluster(MemoryCluster):
    """Records when it is looked at, and when the Lease is renewed."""

    def __init__(self, time: Callable[[], float]) -> None:
        super().__init__()
        self._time = time
        self.looks: list[float] = []
        self.renewals: list[float] = []

    def read_view(self) -> ClusterView:
        self.looks.append(self._time())
        return super().read_view()

    async def write_lease(self, lease: object) -> bool:
        self.renewals.append(self._time())
        return await super().write_lease(lease)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[TimedCluster, Reconciler]]:
    """Run an operator that leads and has nothing to do."""
    time = asyncio.get_running_loop().time
    cluster, poller = TimedCluster(time), Poller(None, monotonic=time)
    made = Reconciler(cluster, poller, Leadership(cluster, "ns/me", time), TrustPolicy("voice"), time)
    task = asyncio.create_task(made.run())
    await asyncio.sleep(MAX_ROUND_SECONDS + MIN_ROUND_SECONDS)
    for recorded in (cluster.looks, cluster.renewals, cluster.writes):
        recorded.clear()
    yield cluster, made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await made.close()


async def test_an_idle_operator_looks_at_its_caches_every_ten_seconds_and_renews_its_lease() -> None:
    async with running() as (cluster, reconciler):
        assert reconciler.problem is None
        await asyncio.sleep(600)
        assert len(cluster.looks) == pytest.approx(600 / MAX_ROUND_SECONDS, abs=1)
        assert len(cluster.renewals) == pytest.approx(600 / RENEW_SECONDS, abs=1)


async def test_a_change_is_looked_at_at_once_and_a_storm_of_changes_five_times_a_second() -> None:
    async with running() as (cluster, reconciler):
        began = asyncio.get_running_loop().time()
        for _ in range(1000):
            reconciler.wake()
            await asyncio.sleep(0.01)
        assert cluster.looks[0] == began
        assert len(cluster.looks) == pytest.approx(10 / MIN_ROUND_SECONDS, abs=2)


async def test_a_round_that_failed_is_repeated_after_two_seconds() -> None:
    async with running() as (cluster, reconciler):
        cluster.away = True
        reconciler.wake()
        await asyncio.sleep(1)
        assert reconciler.problem == "list rtppools: the API server can't be reached"
        cluster.away = False
        await asyncio.sleep(POLL_SECONDS)
        assert reconciler.problem is None


async def test_an_edit_reaches_the_configuration_and_its_pods_at_once(
    make_pool: MakePool, make_relay: Callable[..., RelayPod]
) -> None:
    relay = replace(make_relay("a"), address=None)
    async with running() as (cluster, reconciler):
        cluster.view = replace(cluster.view, pools=(make_pool(),), relays=(relay,))
        reconciler.wake()
        await asyncio.sleep(MIN_ROUND_SECONDS)
        assert len(cluster.writes) == 1
        assert [name for name, _ in cluster.refreshed] == ["relay-a"]


async def test_an_annotation_that_was_refused_is_written_two_seconds_later(
    make_pool: MakePool, make_relay: Callable[..., RelayPod]
) -> None:
    relay = replace(make_relay("a"), address=None)
    async with running() as (cluster, reconciler):
        cluster.refuses_pods = {"relay-a"}
        cluster.view = replace(cluster.view, pools=(make_pool(),), relays=(relay,))
        reconciler.wake()
        await asyncio.sleep(1)
        assert cluster.refreshed == []
        cluster.refuses_pods = set()
        await asyncio.sleep(POLL_SECONDS)
        assert [name for name, _ in cluster.refreshed] == ["relay-a"]


class AnsweringPoller(Poller):
    """Its relays answer after a second with a report of the test."""

    def __init__(self, report: Report) -> None:
        super().__init__(None, monotonic=asyncio.get_running_loop().time)
        self._answer = report

    async def ask(self, relay: RelayPod, *, is_behind: bool = False) -> float:
        del is_behind
        await asyncio.sleep(1)
        self._record(relay, self._answer)
        return POLL_SECONDS


class LeaseOutage(TimedCluster):
    """An API server that does not answer for the Lease while `lease_away`."""

    lease_away = False

    async def lease(self) -> dict[str, Any] | None:
        if self.lease_away:
            raise ClusterError("get lease: the API server can't be reached")
        return await super().lease()


async def test_an_operator_that_takes_over_from_another_one_lists_the_cluster_anew(
    make_report: Callable[..., Report],
) -> None:
    time = asyncio.get_running_loop().time
    cluster, poller = TimedCluster(time), AnsweringPoller(make_report())
    cluster.held = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "ns/other"}}
    made = Reconciler(cluster, poller, Leadership(cluster, "ns/me", time), TrustPolicy("voice"), time)
    task = asyncio.create_task(made.run())
    await asyncio.sleep(DURATION_SECONDS - 1)
    assert (cluster.lists, made.views) == (0, ())
    await asyncio.sleep(3)
    assert (cluster.lists, made.problem) == (1, None)
    await asyncio.sleep(60)
    assert cluster.lists == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await made.close()


async def test_an_operator_that_was_cut_off_while_another_one_led_and_ended_lists_the_cluster_anew(
    make_report: Callable[..., Report],
) -> None:
    time = asyncio.get_running_loop().time
    cluster, poller = LeaseOutage(time), AnsweringPoller(make_report())
    cluster.held = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "ns/me"}}
    made = Reconciler(cluster, poller, Leadership(cluster, "ns/me", time), TrustPolicy("voice"), time)
    task = asyncio.create_task(made.run())
    for holder, lists in (("ns/me", 0), ("", 1)):
        await asyncio.sleep(20)
        cluster.lease_away = True
        await asyncio.sleep(2 * DURATION_SECONDS)
        cluster.held["spec"]["holderIdentity"] = holder
        cluster.lease_away = False
        await asyncio.sleep(2)
        cluster.held["spec"]["holderIdentity"] = "ns/me"
        assert (cluster.lists, made.problem) == (lists, None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    cluster.held = None
    await made.close()


async def test_an_operator_that_could_not_renew_its_lease_calls_no_relay_silent_that_it_did_not_ask(
    make_pool: MakePool, make_relay: Callable[..., RelayPod], make_report: Callable[..., Report]
) -> None:
    time, pool = asyncio.get_running_loop().time, make_pool()
    cluster, poller = LeaseOutage(time), AnsweringPoller(make_report(pool))
    cluster.view = replace(cluster.view, pools=(pool,), relays=(make_relay("a"),))
    made = Reconciler(cluster, poller, Leadership(cluster, "ns/me", time), TrustPolicy("voice"), time)
    task = asyncio.create_task(made.run())
    await asyncio.sleep(20)
    cluster.lease_away = True
    await asyncio.sleep(120)
    assert made.problems
    assert poller.last_reports == {}, "relays are not asked"
    cluster.view = replace(cluster.view, pools=(replace(cluster.view.pools[0], generation=4),))
    cluster.lease_away = False
    made.wake()
    await asyncio.sleep(20)
    assert made.problem is None
    reasons = {each["reason"] for status in cluster.statuses for each in status["conditions"]}
    assert "RelaySilent" not in reasons
    assert len(poller.last_reports) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await made.close()
