"""Random edits of pools, each retried until the API server has accepted it."""

from __future__ import annotations

import random
from typing import Any

from lab.faults.operator.api.api_client import ApiRefused
from lab.faults.operator.api.resources import NAMESPACE, OTHER_NAMESPACE, POOLS, pool, pool_path, pools_of
from lab.faults.operator.rig.rig import Rig

CONFLICT, NOT_FOUND = 409, 404
FIRST_RANGE, RANGE_STEP, RANGES = 10_000, 200, 60
MIN_POOLS, MAX_POOLS = 2, 6
SELECTORS: tuple[dict[str, str], ...] = ({}, {"zone": "a"}, {"zone": "b"})


async def edit(rig: Rig, chance: random.Random) -> str:
    """Make one edit (move a range, change settings, create or delete a pool) and return its description."""
    pools = await rig.persist(lambda: rig.api.items(POOLS))
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


async def _make(rig: Rig, chance: random.Random) -> str:
    namespace = chance.choice([NAMESPACE, OTHER_NAMESPACE])
    name = f"pool-{chance.randrange(1 << 24):06x}"
    start, end = _range(chance)
    document = pool(namespace, name, start, end, nodeSelector=chance.choice(SELECTORS))
    try:
        await rig.persist(lambda: rig.api.create(pools_of(namespace), document))
    except ApiRefused as refused:
        # An earlier try created the pool, and its answer was lost.
        if refused.status != CONFLICT:
            raise
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
