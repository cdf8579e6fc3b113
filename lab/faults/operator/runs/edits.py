"""Random edits of pools, each retried until the API server has accepted it."""

from __future__ import annotations

import random
from typing import Any

from lab.faults.operator.api.api_client import ApiRefused, ApiUnavailable
from lab.faults.operator.api.resources import NAMESPACE, OTHER_NAMESPACE, POOLS, Document, pool, pool_path, pools_of
from lab.faults.operator.rig.converged import owners
from lab.faults.operator.rig.rig import Rig

CONFLICT, NOT_FOUND = 409, 404
# While the definition is being deleted, and an administrator otherwise gets neither.
NOT_NOW = frozenset({403, 405})
FIRST_RANGE, RANGE_STEP, RANGES = 10_000, 200, 60
MIN_POOLS, MAX_POOLS = 2, 6
SELECTORS: tuple[dict[str, str], ...] = ({}, {"zone": "a"}, {"zone": "b"})


async def edit(rig: Rig, chance: random.Random) -> str:
    """Make one edit (move a range, change settings, create or delete a pool) and return its description."""
    pools = await rig.persist(lambda: served_pools(rig))
    if len(pools) < MIN_POOLS or (len(pools) < MAX_POOLS and chance.random() < 0.2):
        return await _make(rig, chance)
    metadata = chance.choice(pools)["metadata"]
    path = pool_path(metadata["namespace"], metadata["name"])
    if chance.random() < 0.15:
        await rig.persist(lambda: rig.api.delete(path))
        return f"{metadata['name']} deleted"
    change = _change(chance)
    try:
        await rig.persist(lambda: rig.api.patch(path, {"spec": change}))
    except ApiRefused as refused:
        if refused.status != NOT_FOUND:
            raise
        return f"{metadata['name']} was gone"
    return f"{metadata['name']} {', '.join(change)}"


async def move_range(rig: Rig, chance: random.Random) -> None:
    """Move the range of a pool that has relays, if there is one."""
    snapshot = await rig.persist(rig.snapshot)
    relayed = owners(snapshot.pools, {relay.node: snapshot.labels[relay.node] for relay in snapshot.relays})
    if not relayed:
        return
    metadata = chance.choice(list(relayed.values()))["metadata"]
    start, end = _range(chance)
    change = {"spec": {"portRange": {"start": start, "end": end}, "excludedPorts": []}}
    try:
        await rig.persist(lambda: rig.api.patch(pool_path(metadata["namespace"], metadata["name"]), change))
    except ApiRefused as refused:
        if refused.status != NOT_FOUND:
            raise


async def served_pools(rig: Rig) -> list[Document]:
    """Return the pools.

    Raises:
        ApiUnavailable: their definition is missing. A person waits for it.
    """
    try:
        return await rig.api.items(POOLS)
    except ApiRefused as refused:
        if refused.status == NOT_FOUND:
            raise ApiUnavailable(str(refused)) from refused
        raise


async def create_pool(rig: Rig, document: Document) -> None:
    """Create a pool. One that exists is fine.

    Raises:
        ApiUnavailable: the definition is missing, or is being deleted.
    """
    try:
        await rig.api.create(pools_of(document["metadata"]["namespace"]), document)
    except ApiRefused as refused:
        if refused.status == NOT_FOUND or refused.status in NOT_NOW:
            raise ApiUnavailable(str(refused)) from refused
        # An earlier try created the pool, and its answer was lost.
        if refused.status != CONFLICT:
            raise


async def _make(rig: Rig, chance: random.Random) -> str:
    namespace = chance.choice([NAMESPACE, OTHER_NAMESPACE])
    name = f"pool-{chance.randrange(1 << 24):06x}"
    start, end = _range(chance)
    document = pool(namespace, name, start, end, nodeSelector=chance.choice(SELECTORS))
    await rig.persist(lambda: create_pool(rig, document))
    return f"{name} created"


def _change(chance: random.Random) -> dict[str, Any]:
    start, end = _range(chance)
    choices: tuple[dict[str, Any], ...] = (
        {"portRange": {"start": start, "end": end}, "excludedPorts": []},
        {"maxCalls": chance.randint(1, 100)},
        {"probe": {"intervalSeconds": chance.randint(1, 10)}},
        {"nodeSelector": chance.choice([None, *SELECTORS[1:]])},
    )
    return chance.choice(choices)


def _range(chance: random.Random) -> tuple[int, int]:
    start = FIRST_RANGE + RANGE_STEP * chance.randrange(RANGES)
    return start, start + chance.randint(1, RANGE_STEP - 1)
