"""The conditions of pools among the operator's metrics, on a cluster in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from test_reconciler import MemoryCluster, cluster, later, reconciler

from rtppool_operator.kube.lease import DURATION_SECONDS
from rtppool_operator.loop.metrics import OperatorMetrics
from rtppool_operator.loop.reconciler import Reconciler
from rtppool_operator.pools.spec import Pool
from rtppool_operator.relays.polling import Poller
from rtppool_testing.waiting import until

# Fixtures are found by their names here.
__all__ = ["cluster", "later", "reconciler"]


def conditions_of(operator: Reconciler) -> dict[tuple[str, str], float]:
    families = {family.name: family for family in OperatorMetrics(operator, Poller(None)).collect()}
    samples = families["rtp_operator_pool_condition"].samples
    return {(sample.labels["pool"], sample.labels["condition"]): sample.value for sample in samples}


@contextlib.asynccontextmanager
async def running(operator: Reconciler) -> AsyncIterator[None]:
    task = asyncio.create_task(operator.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_condition_is_one_or_zero_and_an_unknown_one_is_absent(
    cluster: MemoryCluster, reconciler: Reconciler, make_pool: Callable[..., Pool]
) -> None:
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    async with running(reconciler):
        await until(lambda: bool(conditions_of(reconciler)))
        found = conditions_of(reconciler)
    (key,) = {pool for pool, _ in found}
    assert key == make_pool().key
    assert (found[key, "Accepted"], found[key, "Conflicted"], found[key, "Ready"]) == (1, 0, 0)
    assert (key, "Programmed") not in found


async def test_a_deleted_pool_has_no_condition(
    cluster: MemoryCluster, reconciler: Reconciler, make_pool: Callable[..., Pool]
) -> None:
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    async with running(reconciler):
        await until(lambda: bool(conditions_of(reconciler)))
        cluster.view = replace(cluster.view, pools=())
        reconciler.wake()
        await until(lambda: reconciler.counts.pools == 0 and not conditions_of(reconciler))


async def test_an_operator_that_leads_no_longer_has_no_conditions(
    cluster: MemoryCluster, reconciler: Reconciler, make_pool: Callable[..., Pool], later: list[float]
) -> None:
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    async with running(reconciler):
        await until(lambda: bool(conditions_of(reconciler)))
    later[0] += DURATION_SECONDS
    assert conditions_of(reconciler) == {}
