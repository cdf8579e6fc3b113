"""Log lines about pools: created, edited, removed, nodes handed over, changed conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rtppool_core.contract.pools_file import PoolEntry
from rtppool_operator.pools.desired import Desired
from rtppool_operator.pools.spec import Pool

Line = tuple[str, dict[str, Any]]
NO_POOL = "none"


def pool_change_lines(before: Desired | None, now: Desired) -> Iterator[Line]:
    """Yield a line for each change since the last round (None: this is the first)."""
    old = before.claims if before is not None else {}
    for uid, claim in now.claims.items():
        known = old.get(uid)
        if known is None or known.pool.generation != claim.pool.generation:
            text = "pool seen" if known is None else "pool edited"
            yield text, {**_pool_fields(claim.pool), "nodes": len(claim.owned)}
    for uid, claim in old.items():
        if uid not in now.claims:
            yield "pool removed", _pool_fields(claim.pool)
    if before is not None:
        yield from _hand_overs(before, now)


def condition_change_lines(
    pool: Pool, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> Iterator[Line]:
    """Yield a line for each condition whose status has changed."""
    old = {each.get("type"): each.get("status") for each in before}
    for condition in now:
        if old.get(condition["type"]) != condition["status"]:
            fields = {"condition": condition["type"], "status": condition["status"], "reason": condition["reason"]}
            yield "condition changed", {**_pool_fields(pool), **fields, "because": condition["message"]}


def _hand_overs(before: Desired, now: Desired) -> Iterator[Line]:
    for node in sorted(before.entries.keys() | now.entries.keys()):
        old, new = before.entries.get(node), now.entries.get(node)
        holder = new or old
        if holder is None or (old is not None and new is not None and old.uid == new.uid):
            continue
        places = {"generation": holder.generation, "node": node, "from": _key(old)}
        yield "node handed over", {"pool": _key(new), **places}


def _key(entry: PoolEntry | None) -> str:
    return f"{entry.namespace}/{entry.name}" if entry else NO_POOL


def _pool_fields(pool: Pool) -> dict[str, Any]:
    return {"pool": pool.key, "generation": pool.generation}
