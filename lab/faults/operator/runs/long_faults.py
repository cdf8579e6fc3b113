"""Faults of several steps, each with rules that hold meanwhile."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from lab.faults.operator.api.api_client import ApiRefused
from lab.faults.operator.api.faulty_proxy import FaultyProxy
from lab.faults.operator.api.forwarded_writes import writes_without_lease
from lab.faults.operator.api.installation import definition, wait_established
from lab.faults.operator.api.resources import DEFINITION, DEFINITIONS, LEASE, NAMESPACE, Document
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig
from lab.faults.operator.runs.edits import create_pool, edit, move_range, served_pools
from lab.faults.operator.runs.stage import BrokenRule, Lift, Stage, nothing

EDITS = 2
SEEN_SECONDS = 30.0
GONE_SECONDS = 30.0
CONFLICT = 409
STANDS_BY_SECONDS = 30.0
# The other operator waits for the end of the Lease, 15 s after its last renewal.
TAKEN_SECONDS = 30.0
# After that an edit comes through as after any fault.
WORKS_SECONDS = 20.0


async def api_behind(stage: Stage) -> Lift:
    """Restart the API server with a cache that is behind: the operator has seen edits that lists and watches lack."""
    rig = stage.rig
    await rig.proxy.keep_lists()
    for _ in range(EDITS):
        await move_range(rig, stage.chance)
    await rig.converge(SEEN_SECONDS)
    rig.proxy.faults.watches.behind = True
    await rig.server.kill()
    await rig.server.restart()
    await move_range(rig, stage.chance)

    async def catch_up() -> None:
        rig.proxy.faults.clear()

    return catch_up


async def definition_absent(stage: Stage) -> Lift:
    """Start an operator that must not create the definition, while there is none. Its deletion deletes all pools.

    A person then creates the definition and the pools again, as new objects.
    """
    rig = stage.rig
    await stage.operator.kill()
    pools = await rig.persist(lambda: served_pools(rig))
    await rig.persist(lambda: rig.api.delete(DEFINITION))
    await rig.until("the definition is gone", GONE_SECONDS, lambda: _is_gone(rig))
    stage.operator.start({"CRD_INSTALL": "false"})

    async def create() -> None:
        await rig.persist(lambda: _define(rig))
        await wait_established(rig.api)
        for pool in pools:
            await rig.persist(partial(create_pool, rig, _anew(pool)))

    return create


async def replicas_cut_off(stage: Stage) -> Lift:
    """Cut one of two operators off from the API server until the other leads, then the other one.

    Raises:
        NotConverged: an edit does not come through while one operator is reachable.
        BrokenRule: an operator has written while another one held the Lease.
    """
    rig = stage.rig
    async with AsyncExitStack() as stack:
        own = FaultyProxy(rig.server)
        stack.push_async_callback(own.close)
        await own.start()
        second = rig.operator(proxy=own)
        second.start()
        stack.push_async_callback(second.end)
        stack.callback(rig.proxy.faults.clear)
        await rig.until("the second operator stands by", STANDS_BY_SECONDS, second.is_ready)
        rig.proxy.writes.clear()
        for cut, operator, other in ((rig.proxy, stage.operator, second), (own, second, stage.operator)):
            await _cut_off(stage, cut, other)
            await rig.until("the operator stands by again", STANDS_BY_SECONDS, operator.is_ready)
        by_operator = {_identity(stage.operator): rig.proxy.writes, _identity(second): own.writes}
        wrong = writes_without_lease(by_operator)
    if wrong:
        raise BrokenRule("; ".join(wrong))
    return nothing


async def _cut_off(stage: Stage, cut: FaultyProxy, other: OperatorProcess) -> None:
    rig = stage.rig
    cut.faults.cut_off()
    await edit(rig, stage.chance)
    await rig.until("the other operator leads", TAKEN_SECONDS, lambda: _leads(rig, other))
    await edit(rig, stage.chance)
    await rig.converge(WORKS_SECONDS)
    cut.faults.clear()
    await edit(rig, stage.chance)


async def _leads(rig: Rig, operator: OperatorProcess) -> bool:
    lease = await rig.persist(lambda: rig.api.get(LEASE))
    return bool(lease["spec"]["holderIdentity"] == _identity(operator))


def _identity(operator: OperatorProcess) -> str:
    return f"{NAMESPACE}/{operator.pod}"


async def _is_gone(rig: Rig) -> bool:
    return await rig.persist(lambda: rig.api.find(DEFINITION)) is None


async def _define(rig: Rig) -> None:
    try:
        await rig.api.create(DEFINITIONS, definition())
    except ApiRefused as refused:
        if refused.status != CONFLICT:
            raise


def _anew(pool: Document) -> Document:
    """Return a pool as a file of its user has it."""
    kept = {name: pool["metadata"][name] for name in ("namespace", "name")}
    return {"apiVersion": pool["apiVersion"], "kind": pool["kind"], "metadata": kept, "spec": pool["spec"]}
