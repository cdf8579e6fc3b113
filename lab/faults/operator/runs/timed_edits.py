"""Edits of a pool's range, each with the times until it is published, annotated and in the status."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lab.base.report import Figure
from lab.faults.operator.api.resources import Document, pool_path
from lab.faults.operator.relays.fake_relays import EditTimes
from lab.faults.operator.relays.remote_relays import RemoteRelays
from lab.faults.operator.rig.rig import Rig
from lab.faults.operator.runs.sizes import EditBounds

MAX_EDIT_SECONDS = 180.0
# The times come from the relays' process and from the status itself, so these polls need not be short.
TIMES_POLL_SECONDS, STATUS_POLL_SECONDS = 0.05, 0.025
FIRST_PORT, PORT_STEP, PORTS = 12_000, 200, 50


@dataclass(frozen=True, slots=True)
class TimedEdit:
    """Seconds from the edit's acceptance to the ConfigMap, to the last annotation, and to the pool's status."""

    config: float
    annotated: float
    status: float


async def timed_edit(rig: Rig, relays: RemoteRelays, namespace: str, name: str, number: int) -> TimedEdit:
    """Move a pool's range to the one of this `number`, and wait until its status has it.

    Raises:
        NotConverged: a time of the edit does not come.
    """
    path, start = pool_path(namespace, name), FIRST_PORT + PORT_STEP * number
    sent = time.monotonic()
    edited = await rig.api.patch(path, {"spec": {"portRange": {"start": start, "end": start + PORTS}}})
    accepted = time.monotonic()
    (config, annotated), status = await asyncio.gather(_published(rig, relays, edited, sent), _in_status(rig, path))
    return TimedEdit(*(max(0.0, at - accepted) for at in (config, annotated, status)))


async def _published(rig: Rig, relays: RemoteRelays, edited: Document, since_seconds: float) -> tuple[float, float]:
    """Return when the ConfigMap had an edit, and when the last pod was annotated."""
    uid, generation = edited["metadata"]["uid"], edited["metadata"]["generation"]
    latest = EditTimes(None, None, None)

    async def is_published() -> bool:
        nonlocal latest
        latest = await relays.edit_times(uid, generation, since_seconds)
        return latest.config is not None and latest.annotated is not None

    await rig.until(f"{edited['metadata']['name']} is published", MAX_EDIT_SECONDS, is_published, TIMES_POLL_SECONDS)
    return latest.config or 0.0, latest.annotated or 0.0


async def _in_status(rig: Rig, path: str) -> float:
    """Return when the pool's status had the latest edit."""

    async def has_it() -> bool:
        return has_applied(await rig.api.get(path))

    await rig.until(f"the status of {path}", MAX_EDIT_SECONDS, has_it, STATUS_POLL_SECONDS)
    return time.monotonic()


def has_applied(pool: Document) -> bool:
    """Return whether the pool's status reports its current generation in all its relays."""
    status, generation = pool.get("status", {}), pool["metadata"]["generation"]
    programmed = any(each["type"] == "Programmed" and each["status"] == "True" for each in status.get("conditions", []))
    return bool(programmed and status.get("appliedGeneration") == generation == status.get("observedGeneration"))


def edit_figures(name: str, edits: Sequence[TimedEdit], bounds: EditBounds) -> list[Figure]:
    """Return a figure for each step of these edits."""
    worst = bounds.worst_published
    return [
        _figure(f"{name}, ConfigMap", [each.config for each in edits], bounds.config, worst),
        _figure(f"{name}, last annotation", [each.annotated for each in edits], bounds.annotated, worst),
        _figure(f"{name}, in the status", [each.status for each in edits], bounds.status, None),
    ]


def _figure(name: str, times: Sequence[float], max_median: float | None, max_worst: float | None) -> Figure:
    median, worst = statistics.median(times), max(times)
    checks = [
        (f"{word} {bound:g} s", value <= bound)
        for word, value, bound in (("median", median, max_median), ("worst", worst, max_worst))
        if bound is not None
    ]
    return Figure(
        name,
        f"median {median:.2f} s, worst {worst:.2f} s of {len(times)}",
        ", ".join(text for text, _ in checks),
        all(met for _, met in checks) if checks else None,
    )
