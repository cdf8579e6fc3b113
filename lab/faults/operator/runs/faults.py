"""The faults of a campaign: each has an action that strikes and one that lifts it.

Faults of several steps are in `long_faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from lab.base.descriptors import descriptors_exhausted
from lab.base.errors import LabError
from lab.faults.operator.api.api_client import ApiRefused
from lab.faults.operator.api.faulty_proxy import EVERYTHING, WRITES, Refusal
from lab.faults.operator.api.resources import CONFIG_MAP, NODES, PODS, pool_path
from lab.faults.operator.relays.fake_relay import Mode
from lab.faults.operator.runs.long_faults import api_behind, definition_absent, replicas_cut_off
from lab.faults.operator.runs.stage import Fault, Lift, Stage, StuckDeletion, nothing
from rtppool_core.contract.pools_file import FILE_NAME, REFRESH_ANNOTATION

NOT_FOUND = 404
# A watch that is silent for 75 s is replaced.
SILENT_BOUND_SECONDS = 90.0
HAND_WRITTEN = (
    '{"version": 1, "pools": []}',
    "not JSON",
    "",
    "[" * 5_000,
    '{"version": 99}',
)


async def _operator_killed(stage: Stage) -> Lift:
    await stage.operator.kill()

    async def start() -> None:
        stage.operator.start()

    return start


async def _operator_replaced(stage: Stage) -> Lift:
    """Lose the operator's node: the next pod has another name and finds a Lease that was not released."""
    await stage.operator.kill()

    async def start() -> None:
        stage.operator = stage.rig.operator()
        stage.operator.start()

    return start


async def _operator_ended(stage: Stage) -> Lift:
    await stage.operator.end()

    async def start() -> None:
        stage.operator = stage.rig.operator()
        stage.operator.start()

    return start


async def _operator_paused(stage: Stage) -> Lift:
    stage.operator.process.pause()

    async def go_on() -> None:
        stage.operator.process.resume()

    return go_on


async def _operator_without_descriptors(stage: Stage) -> Lift:
    stack = ExitStack()
    stack.enter_context(descriptors_exhausted([stage.operator.process.pid]))

    async def restore() -> None:
        stack.close()

    return restore


async def _second_operator(stage: Stage) -> Lift:
    second = stage.rig.operator()
    second.start()
    return second.kill


async def _api_paused(stage: Stage) -> Lift:
    stage.rig.server.pause()

    async def go_on() -> None:
        stage.rig.server.resume()
        await stage.rig.server.wait_ready()

    return go_on


async def _api_killed(stage: Stage) -> Lift:
    await stage.rig.server.kill()
    return stage.rig.server.restart


async def _store_paused(stage: Stage) -> Lift:
    stage.rig.server.pause_store()

    async def go_on() -> None:
        stage.rig.server.resume_store()
        await stage.rig.server.wait_ready()

    return go_on


def _refusing(status: int, verbs: frozenset[str]) -> Callable[[Stage], Awaitable[Lift]]:
    async def strike(stage: Stage) -> Lift:
        stage.rig.proxy.faults.refusals.append(Refusal(status, verbs))
        return _lift_proxy(stage)

    return strike


async def _watches_silent(stage: Stage) -> Lift:
    stage.rig.proxy.faults.watches.silent = True
    return _lift_proxy(stage)


async def _watches_silent_for_good(stage: Stage) -> Lift:
    stage.rig.proxy.silence_watches()
    return nothing


async def _bookmarks_only(stage: Stage) -> Lift:
    """Lose every event, while bookmarks show that watches are open. The server's end of each watch lifts it."""
    proxy = stage.rig.proxy
    proxy.faults.watches.bookmarks_only = True

    async def end() -> None:
        proxy.faults.clear()
        proxy.end_watches()

    return end


def _watches_told(code: int) -> Callable[[Stage], Awaitable[Lift]]:
    async def strike(stage: Stage) -> Lift:
        await stage.rig.proxy.send_error(code)
        return nothing

    return strike


async def _requests_hang(stage: Stage) -> Lift:
    stage.rig.proxy.faults.hang = EVERYTHING
    return _lift_proxy(stage)


def _lift_proxy(stage: Stage) -> Lift:
    async def clear() -> None:
        stage.rig.proxy.faults.clear()

    return clear


def _relay(mode: Mode) -> Callable[[Stage], Awaitable[Lift]]:
    async def strike(stage: Stage) -> Lift:
        relay = stage.any_relay()
        stage.rig.relays.set_mode(relay, mode)

        async def well() -> None:
            stage.rig.relays.set_mode(relay, "well")

        return well

    return strike


async def _relay_replaced(stage: Stage) -> Lift:
    relay = stage.any_relay()
    await stage.rig.relays.remove_pod(relay.node)

    async def make() -> None:
        await stage.rig.relays.add_pod(relay.node)

    return make


async def _node_relabelled(stage: Stage) -> Lift:
    relay = stage.any_relay()
    zone = stage.chance.choice(["a", "b", "none"])
    await stage.rig.api.patch(f"{NODES}/{relay.node}", {"metadata": {"labels": {"zone": zone}}})
    return nothing


async def _config_deleted(stage: Stage) -> Lift:
    await stage.rig.api.delete(CONFIG_MAP)
    return nothing


async def _config_edited(stage: Stage) -> Lift:
    text = stage.chance.choice(HAND_WRITTEN)
    try:
        await stage.rig.api.patch(CONFIG_MAP, {"data": {FILE_NAME: text}})
    except ApiRefused as refused:
        if refused.status != NOT_FOUND:
            raise
    return nothing


async def _annotation_removed(stage: Stage) -> Lift:
    change = {"metadata": {"annotations": {REFRESH_ANNOTATION: None}}}
    await stage.rig.api.patch(f"{PODS}/{stage.any_relay().pod}", change)
    return nothing


async def _pool_deleted_without_operator(stage: Stage) -> Lift:
    """Delete a pool while no operator runs: `kubectl delete` must not wait for it."""
    await stage.operator.kill()
    pools = (await stage.rig.snapshot()).pools
    if pools:
        metadata = stage.chance.choice(pools)["metadata"]
        path = pool_path(metadata["namespace"], metadata["name"])
        await stage.rig.api.delete(path)
        left = await stage.rig.api.find(path)
        if left is not None and "deletionTimestamp" in left["metadata"]:
            stage.operator.start()
            raise StuckDeletion(f"{path} still exists after its deletion: {left['metadata'].get('finalizers')}")

    async def start() -> None:
        stage.operator.start()

    return start


FAULTS = (
    Fault("operator killed", _operator_killed),
    Fault("operator's pod replaced after a kill", _operator_replaced),
    Fault("operator ended and replaced", _operator_ended),
    Fault("operator paused", _operator_paused, 20.0),
    Fault("operator without free descriptors", _operator_without_descriptors, 8.0),
    Fault("second operator", _second_operator, 8.0),
    Fault("API server paused", _api_paused, 10.0),
    Fault("API server killed", _api_killed),
    Fault("etcd paused", _store_paused, 8.0),
    Fault("409 to every write", _refusing(409, WRITES), 6.0),
    Fault("429 to everything", _refusing(429, EVERYTHING), 6.0),
    Fault("500 to everything", _refusing(500, EVERYTHING), 6.0),
    Fault("stale objects after an API server restart", api_behind, 8.0),
    Fault("watches black-holed", _watches_silent, 8.0, SILENT_BOUND_SECONDS),
    Fault("watches silent for good", _watches_silent_for_good, bound_seconds=SILENT_BOUND_SECONDS),
    Fault("bookmarks only", _bookmarks_only, 20.0),
    Fault("ERROR 410 in every watch", _watches_told(410)),
    Fault("ERROR 500 in every watch", _watches_told(500)),
    Fault("requests hang", _requests_hang, 8.0),
    Fault("both replicas cut off in turn", replicas_cut_off, 0.1),
    Fault("definition absent at start", definition_absent, 10.0),
    Fault("relay silent", _relay("silent"), 10.0),
    Fault("relay answers garbage", _relay("garbage"), 10.0),
    Fault("relay slow", _relay("slow"), 10.0),
    Fault("relay's process ended", _relay("ended"), 10.0),
    Fault("relay of an older version", _relay("old"), 4.0),
    Fault("relay's pod replaced", _relay_replaced),
    Fault("node relabelled", _node_relabelled),
    Fault("ConfigMap deleted", _config_deleted),
    Fault("ConfigMap edited by hand", _config_edited),
    Fault("annotation removed", _annotation_removed),
    Fault("pool deleted with the operator down", _pool_deleted_without_operator),
)


async def strike_and_lift(stage: Stage, fault: Fault) -> None:
    """Cause a fault, wait for a random time, lift it."""
    lift = await fault.strike(stage)
    await asyncio.sleep(stage.chance.uniform(0.1, fault.longest_seconds))
    await lift()


def fault_named(name: str) -> Fault:
    """Return the fault of this name.

    Raises:
        LabError: the name is unknown.
    """
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise LabError(f"fault {name!r}: unknown; known are {', '.join(each.name for each in FAULTS)}")
