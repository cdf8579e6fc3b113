"""200 relays and 50 pools: times of edits, requests and writes meanwhile, and the cost of the operator."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.base.proc import cpu_seconds, resident_bytes
from lab.base.report import Figure
from lab.faults.operator.api.audit import shortest_pause_seconds, writes
from lab.faults.operator.api.resources import NAMESPACE, OTHER_NAMESPACE, pool, pool_path, pools_of
from lab.faults.operator.relays.fake_relays import FakeRelay
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig

RELAYS, POOLS = 200, 50
# One pool has the remaining half of all relays.
NODES_OF_A_SELECTING_POOL = 2
EDITS, WIDE_EDITS = 20, 5
PAUSE_BETWEEN_EDITS_SECONDS = 3.0
QUIET_SECONDS, BUSY_SECONDS = 30.0, 15.0
START_SECONDS, EDIT_SECONDS = 120.0, 60.0
EDIT_POLL_SECONDS = 0.005
ANSWER_SECONDS = 0.005
STATUS_RESOURCE = "rtppools/status"

# The bounds: an edit is published within 1 s. A quiet relay gets a request that waits every 10 s, and one for a full
# report every 15 s. At most 32 requests are in flight, without those that relays hold. A status is written at most once
# a second, for figures alone every 15 s. Memory is 200 MiB.
PUBLISHED_SECONDS, WAIT_SECONDS, FULL_REPORT_SECONDS, IN_FLIGHT = 1.0, 10.0, 15.0, 32
MIN_PAUSE_SECONDS, FIGURES_PAUSE_SECONDS = 1.0, 15.0
RESIDENT_BYTES = 200 << 20
MIB = 1 << 20
# The API server's times are later than the operator's by up to this much, so writes may appear closer together.
CLOCK_SLACK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class EditTimes:
    """Seconds from the edit's acceptance to the ConfigMap, to the last annotation, and to the pool's status."""

    config: float
    annotated: float
    status: float


async def scale(rig: Rig, operator: OperatorProcess, chance: random.Random, say: Callable[[str], None]) -> list[Figure]:
    """Measure on an empty rig with an operator that does not run.

    Raises:
        NotConverged: a state is not reached in time.
    """
    say(f"creating {RELAYS} relays and {POOLS} pools")
    await _set_up(rig)
    operator.start()
    began = await rig.converge(START_SECONDS)
    say(f"from the operator's start to all statuses: {began:.1f} s")
    await asyncio.sleep(FIGURES_PAUSE_SECONDS)
    figures = [Figure("start of the operator to every status", f"{began:.1f} s")]
    for part in (_quiet, _edits, _busy):
        added = await part(rig, operator, chance)
        figures += added
        for each in added:
            say(f"{each.name}: {each.measured}")
    resident = resident_bytes(operator.process.pid)
    figures.append(Figure("operator's memory", f"{resident / MIB:.0f} MiB", "200 MiB", resident <= RESIDENT_BYTES))
    return figures


async def _set_up(rig: Rig) -> None:
    selecting = POOLS - 1

    def labels(number: int) -> dict[str, str]:
        owner = number // NODES_OF_A_SELECTING_POOL
        return {"pool": f"pool-{owner}"} if owner < selecting else {}

    await rig.relays.add((f"node-{number}", labels(number)) for number in range(RELAYS))
    await rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
    for number in range(selecting):
        name = f"pool-{number}"
        made = pool(OTHER_NAMESPACE, name, 11_000, 11_100, nodeSelector={"pool": name})
        await rig.api.create(pools_of(OTHER_NAMESPACE), made)


async def _quiet(rig: Rig, operator: OperatorProcess, _chance: random.Random) -> list[Figure]:
    """Measure polls and writes without edits and without calls."""
    rig.relays.forget_polls()
    since, used = time.time(), cpu_seconds(operator.process.pid)
    await asyncio.sleep(QUIET_SECONDS)
    used = cpu_seconds(operator.process.pid) - used
    relays = rig.relays.by_node.values()
    written = writes(_log(rig), STATUS_RESOURCE, since)
    return [
        _at_most("requests to a relay", [relay.polls for relay in relays], WAIT_SECONDS, FULL_REPORT_SECONDS),
        _at_most("full reports of a relay", [relay.answers for relay in relays], FULL_REPORT_SECONDS),
        _in_flight(rig),
        Figure("status writes meanwhile", str(len(written)), "0", not written),
        Figure("operator's share of one processor, quiet", f"{used / QUIET_SECONDS:.0%}"),
    ]


async def _edits(rig: Rig, _operator: OperatorProcess, chance: random.Random) -> list[Figure]:
    """Edit pools one after the other: those with two relays each, then the one with all the others."""
    rig.relays.forget_polls()
    started, since = time.monotonic(), time.time()
    narrow = [await _edit(rig, OTHER_NAMESPACE, f"pool-{chance.randrange(POOLS - 1)}", each) for each in range(EDITS)]
    wide = [await _edit(rig, NAMESPACE, "default", each) for each in range(WIDE_EDITS)]
    seconds = time.monotonic() - started
    polls = sum(relay.polls for relay in rig.relays.by_node.values())
    pause = shortest_pause_seconds(writes(_log(rig), STATUS_RESOURCE, since))
    in_default = sum(not relay_is_selected(relay) for relay in rig.relays.by_node.values())
    return [
        *_times(f"edit of a pool of {NODES_OF_A_SELECTING_POOL} relays", narrow),
        *_times(f"edit of a pool of {in_default} relays", wide),
        Figure("requests to a relay a second while pools are edited", f"{polls / RELAYS / seconds:.2f} on average"),
        _in_flight(rig),
        _pause("shortest time between two writes of a status while pools are edited", pause, MIN_PAUSE_SECONDS),
    ]


async def _busy(rig: Rig, operator: OperatorProcess, chance: random.Random) -> list[Figure]:
    """Change the number of calls on random relays, several times a second."""
    since, used = time.time(), cpu_seconds(operator.process.pid)
    end = time.monotonic() + BUSY_SECONDS
    while time.monotonic() < end:
        for relay in chance.sample(list(rig.relays.by_node.values()), RELAYS // 4):
            relay.active_calls = chance.randint(0, 50)
            rig.relays.render(relay)
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
    used = cpu_seconds(operator.process.pid) - used
    for relay in rig.relays.by_node.values():
        relay.active_calls = 0
        rig.relays.render(relay)
    written = writes(_log(rig), STATUS_RESOURCE, since)
    most = math.ceil(BUSY_SECONDS) + 1
    by_pool = statistics.mean(sum(each.key == key for each in written) for key in {each.key for each in written})
    return [
        _pause(
            "shortest time between two writes of a status while calls move",
            shortest_pause_seconds(written),
            MIN_PAUSE_SECONDS,
        ),
        Figure(
            f"status writes of a pool in {BUSY_SECONDS:.0f} s of calls",
            f"{by_pool:.1f} on average",
            f"at most {most}",
            by_pool <= most,
        ),
        Figure("operator's share of one processor, calls moving", f"{used / BUSY_SECONDS:.0%}"),
    ]


async def _edit(rig: Rig, namespace: str, name: str, number: int) -> EditTimes:
    await asyncio.sleep(PAUSE_BETWEEN_EDITS_SECONDS)
    path, start = pool_path(namespace, name), 12_000 + 200 * number
    before = await rig.api.get(path)
    mine = [
        relay for relay in rig.relays.by_node.values() if relay.entry and relay.entry.uid == before["metadata"]["uid"]
    ]
    revisions = {relay.pod: relay.revision for relay in mine}
    edited = await rig.api.patch(path, {"spec": {"portRange": {"start": start, "end": start + 50}}})
    began, generation = time.monotonic(), edited["metadata"]["generation"]
    marks = (f'"start":{start}', edited["metadata"]["uid"], f'"generation":{generation}')

    async def when(met: Callable[[], bool]) -> float:
        await rig.until(f"the edit of {name}", EDIT_SECONDS, met, EDIT_POLL_SECONDS)
        return time.monotonic() - began

    config = await when(lambda: all(mark in (rig.relays.config or "") for mark in marks))
    annotated = await when(lambda: all(relay.revision != revisions[relay.pod] for relay in mine))
    await rig.until(f"the status of {name}", EDIT_SECONDS, lambda: _is_applied(rig, path, generation))
    return EditTimes(config, annotated, time.monotonic() - began)


async def _is_applied(rig: Rig, path: str, generation: int) -> bool:
    status = (await rig.api.get(path)).get("status", {})
    return bool(status.get("appliedGeneration") == generation == status.get("observedGeneration"))


def relay_is_selected(relay: FakeRelay) -> bool:
    """Return whether a pool with a selector owns the relay."""
    return relay.entry is not None and relay.entry.namespace == OTHER_NAMESPACE


def _times(name: str, edits: Sequence[EditTimes]) -> list[Figure]:
    bound = f"{PUBLISHED_SECONDS:.0f} s"
    rows = (
        ("ConfigMap", [each.config for each in edits], bound),
        ("last annotation", [each.annotated for each in edits], bound),
        ("in the status", [each.status for each in edits], ""),
    )
    return [
        Figure(
            f"{name}, {what}",
            f"median {statistics.median(times):.2f} s, worst {max(times):.2f} s of {len(times)}",
            held,
            max(times) <= PUBLISHED_SECONDS if held else None,
        )
        for what, times, held in rows
    ]


def _at_most(name: str, counts: Sequence[int], *pauses_seconds: float) -> Figure:
    """Compare counts of the quiet time with requests at these pauses. One may fall on both ends of the time."""
    allowed = sum(math.floor(QUIET_SECONDS / pause) + 1 for pause in pauses_seconds)
    return Figure(
        f"{name} in {QUIET_SECONDS:.0f} quiet seconds",
        f"{min(counts)} to {max(counts)}",
        f"at most {allowed}",
        max(counts) <= allowed,
    )


def _in_flight(rig: Rig) -> Figure:
    most = rig.relays.load.most_in_flight
    return Figure("requests in flight", f"at most {most}", f"{IN_FLIGHT}", most <= IN_FLIGHT)


def _pause(name: str, seconds: float | None, bound: float) -> Figure:
    if seconds is None:
        return Figure(name, "no status was written twice", f"at least {bound:.0f} s", holds=True)
    return Figure(name, f"{seconds:.2f} s", f"at least {bound:.0f} s", seconds >= bound - CLOCK_SLACK_SECONDS)


def _log(rig: Rig) -> list[str]:
    return rig.server.audit_log.read_text().splitlines()
