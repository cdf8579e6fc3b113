"""The operator is killed, doubled, cut off and misled on a real API server, and converges each time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lab.faults.operator.api.faulty_proxy import WRITES, FaultyProxy, Refusal
from lab.faults.operator.api.resources import (
    CONFIG_MAP,
    LEASE,
    NAMESPACE,
    NAMESPACES,
    OTHER_NAMESPACE,
    PODS,
    pool,
    pool_path,
    pools_of,
)
from lab.faults.operator.relays.fake_relay import Mode
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig
from lab.faults.operator.runs.faults import HAND_WRITTEN, fault_named, strike_and_lift
from lab.faults.operator.runs.stage import BOUND_SECONDS, Stage
from rtppool_core.contract.pools_file import FILE_NAME, REFRESH_ANNOTATION

pytestmark = pytest.mark.timeout(180)

DEFAULT = pool_path(NAMESPACE, "default")
ZONE_A = pool_path(OTHER_NAMESPACE, "zone-a")
# The product's bounds are seconds; these only end a test that hangs.
CONVERGED = 45.0
# Its version, its port and the awaited Lease, without a repetition every second.
MAX_LINES_WHILE_IT_WAITS = 12
# A watch that is silent for 75 s is replaced by a list and another watch.
SILENT_AND_CONVERGED = 90.0
# The time until a Lease that was not released expires.
LEASE_AND_CONVERGED = 60.0
# The operator lists again after at most five seconds.
SEVERAL_LISTS = 12.0


def of_full(value: Any, name: str | None = None) -> Any:
    """Return a parameter of the longer run."""
    return pytest.param(value, marks=pytest.mark.full, id=name)


async def move(rig: Rig, path: str, start: int) -> None:
    await rig.persist(lambda: rig.api.patch(path, {"spec": {"portRange": {"start": start, "end": start + 50}}}))


async def condition(rig: Rig, path: str, kind: str) -> dict[str, str]:
    found = await rig.api.get(path)
    return next(each for each in found["status"]["conditions"] if each["type"] == kind)


@pytest.mark.parametrize("after_seconds", [0.0, of_full(0.05), 0.15, of_full(0.3), of_full(0.6), 1.2])
async def test_an_operator_killed_at_any_point_of_an_edit_s_way_finishes_it_when_it_is_back(
    stage: Stage, after_seconds: float
) -> None:
    await move(stage.rig, DEFAULT, 12_000)
    await asyncio.sleep(after_seconds)
    await stage.operator.kill()
    stage.operator.start()
    await stage.rig.converge(CONVERGED)


async def test_a_pod_that_replaces_a_killed_one_takes_over_when_its_lease_has_run_out(stage: Stage) -> None:
    await stage.operator.kill()
    await move(stage.rig, DEFAULT, 12_000)
    successor = stage.rig.operator()
    successor.start()
    await stage.rig.converge(LEASE_AND_CONVERGED)
    lease = await stage.rig.api.get(LEASE)
    assert lease["spec"]["holderIdentity"] == f"{NAMESPACE}/{successor.pod}"


async def test_of_two_operators_one_works_and_the_other_says_for_whom_it_waits(stage: Stage) -> None:
    second = stage.rig.operator()
    second.start()
    await stage.rig.until(
        "the second operator waits", CONVERGED, lambda: _says_who_leads(stage, second.answer("/ready"))
    )
    for start in (12_000, 13_000, 14_000):
        await move(stage.rig, DEFAULT, start)
        await stage.rig.converge(CONVERGED)
    assert await second.metric("rtp_operator_config_writes_total") == 0
    assert await second.metric("rtp_operator_status_writes_total") == 0


async def _says_who_leads(stage: Stage, asked: object) -> bool:
    status, text = await asked  # type: ignore[misc]
    return status == 503 and f"{NAMESPACE}/{stage.operator.pod}" in text


async def test_an_operator_that_waits_takes_over_at_once_when_the_other_ends_in_order(stage: Stage) -> None:
    second = stage.rig.operator()
    second.start()
    await stage.rig.until(
        "the second operator waits", CONVERGED, lambda: _says_who_leads(stage, second.answer("/ready"))
    )
    await stage.operator.end()
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.converge(CONVERGED)
    assert await second.is_ready()


async def test_of_two_operators_that_are_cut_off_in_turn_one_always_works_and_none_writes_without_the_lease(
    stage: Stage,
) -> None:
    await strike_and_lift(stage, fault_named("both replicas cut off in turn"))
    await stage.rig.converge(CONVERGED)
    assert stage.rig.relays.older_configurations == 0


async def test_an_operator_that_takes_over_with_silent_watches_lists_the_edits_that_it_missed(stage: Stage) -> None:
    proxy = FaultyProxy(stage.rig.server)
    await proxy.start()
    second = stage.rig.operator(proxy=proxy)
    try:
        second.start()
        await stage.rig.until("it waits", CONVERGED, lambda: _says_who_leads(stage, second.answer("/ready")))
        await stage.rig.until("it stands by", CONVERGED, second.is_ready)
        proxy.silence_watches()
        for start in (12_000, 13_000):
            await move(stage.rig, DEFAULT, start)
            await stage.rig.converge(CONVERGED)
        await stage.operator.end()
        await move(stage.rig, ZONE_A, 14_000)
        await stage.rig.converge(BOUND_SECONDS)
        assert stage.rig.relays.older_configurations == 0
    finally:
        await second.end()
        await proxy.close()


async def test_an_api_server_that_is_behind_after_its_restart_brings_no_older_configuration(stage: Stage) -> None:
    lift = await fault_named("stale objects after an API server restart").strike(stage)
    await stage.rig.until("it is refused", CONVERGED, lambda: _says(stage.operator, "the API server is behind"))
    before = (await stage.rig.api.get(CONFIG_MAP))["data"]
    await asyncio.sleep(SEVERAL_LISTS)
    assert (await stage.rig.api.get(CONFIG_MAP))["data"] == before
    await lift()
    await stage.rig.converge(BOUND_SECONDS)
    assert stage.rig.relays.older_configurations == 0


async def test_a_deleted_pool_does_not_come_back_from_an_api_server_that_is_behind(stage: Stage) -> None:
    await stage.rig.proxy.keep_lists()
    await stage.rig.api.delete(ZONE_A)
    await stage.rig.converge(CONVERGED)
    written = (await stage.rig.api.get(CONFIG_MAP))["metadata"]["resourceVersion"]
    stage.rig.proxy.faults.watches.behind = True
    await stage.rig.server.kill()
    await stage.rig.server.restart()
    await stage.rig.until("it is refused", CONVERGED, lambda: _says(stage.operator, "the API server is behind"))
    await asyncio.sleep(SEVERAL_LISTS)
    stage.rig.proxy.faults.clear()
    await stage.rig.converge(BOUND_SECONDS)
    assert (await stage.rig.api.get(CONFIG_MAP))["metadata"]["resourceVersion"] == written


async def _says(operator: OperatorProcess, text: str) -> bool:
    return text in (await operator.answer("/ready"))[1]


async def test_relays_keep_their_pools_while_an_operator_starts_without_the_definition(stage: Stage) -> None:
    before = {relay.node: relay.entry for relay in stage.rig.relays.by_node.values()}
    lift = await fault_named("definition absent at start").strike(stage)
    await stage.rig.until("it waits", CONVERGED, lambda: _says(stage.operator, "crds.install is false"))
    assert {relay.node: relay.entry for relay in stage.rig.relays.by_node.values()} == before
    await lift()
    await stage.rig.converge(BOUND_SECONDS)
    now = {relay.node: relay.entry for relay in stage.rig.relays.by_node.values()}
    assert all(entry is not None and entry != before[node] for node, entry in now.items()), "the pools are new objects"


@pytest.mark.parametrize("fault", ["API server paused", "API server killed", of_full("etcd paused")])
async def test_a_missing_api_server_takes_nothing_from_relays_and_edits_come_through_after_it(
    stage: Stage, fault: str
) -> None:
    before = {relay.node: (relay.entry, relay.mounted) for relay in stage.rig.relays.by_node.values()}
    lift = await fault_named(fault).strike(stage)
    await asyncio.sleep(10.0)
    assert {relay.node: (relay.entry, relay.mounted) for relay in stage.rig.relays.by_node.values()} == before
    assert stage.operator.runs
    await lift()
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.converge(CONVERGED)


async def test_an_operator_that_starts_without_an_api_server_waits_for_it(stage: Stage) -> None:
    await stage.operator.end()
    await stage.rig.server.kill()
    stage.operator.start()
    lines = stage.operator.log.read_text().count("\n")
    await asyncio.sleep(8.0)
    assert stage.operator.runs
    assert stage.operator.log.read_text().count("\n") - lines <= MAX_LINES_WHILE_IT_WAITS
    await stage.rig.server.restart()
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.converge(CONVERGED)


async def test_an_edit_comes_through_watches_that_have_gone_silent_and_stay_so(stage: Stage) -> None:
    stage.rig.proxy.faults.watches.silent = True
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.converge(SILENT_AND_CONVERGED)


async def test_edits_whose_events_were_lost_among_bookmarks_come_through_when_the_watches_end(stage: Stage) -> None:
    lift = await fault_named("bookmarks only").strike(stage)
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.api.patch("/api/v1/nodes/node-1", {"metadata": {"labels": {"zone": "a"}}})
    await asyncio.sleep(3.0)
    assert await stage.rig.differences()
    await lift()
    await stage.rig.converge(BOUND_SECONDS)
    assert (await stage.operator.metric("rtp_operator_resync_corrections_total") or 0) >= 2


@pytest.mark.parametrize("code", [410, 500])
async def test_an_error_event_in_every_watch_costs_no_edit(stage: Stage, code: int) -> None:
    await strike_and_lift(stage, fault_named(f"ERROR {code} in every watch"))
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.converge(CONVERGED)
    restarts = await stage.operator.metric("rtp_operator_watch_restarts_total")
    assert restarts == (1 if code == 500 else 0), "kopf lists anew after a 410, and ends on a 500"


@pytest.mark.parametrize("status", [409, of_full(429), 500])
async def test_writes_that_are_refused_are_made_when_they_are_taken_again(stage: Stage, status: int) -> None:
    refusal = Refusal(status, WRITES)
    stage.rig.proxy.faults.refusals.append(refusal)
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.until("a write was refused", CONVERGED, lambda: refusal.met >= 2)
    assert stage.operator.runs
    stage.rig.proxy.faults.clear()
    await stage.rig.converge(CONVERGED)


@pytest.mark.parametrize("status", [429, of_full(500)])
async def test_reads_that_are_refused_are_made_again(stage: Stage, status: int) -> None:
    refusal = Refusal(status, frozenset({"get", "list", "watch"}))
    stage.rig.proxy.faults.refusals.append(refusal)
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.until("a read was refused", CONVERGED, lambda: refusal.met >= 2)
    stage.rig.proxy.faults.clear()
    await stage.rig.converge(CONVERGED)


@pytest.mark.parametrize("status", [of_full(409), 422, of_full(500)])
async def test_a_pool_whose_status_is_never_taken_holds_no_other_pool_up(stage: Stage, status: int) -> None:
    stage.rig.proxy.faults.refusals.append(Refusal(status, WRITES, path=f"{DEFAULT}/status$"))
    await move(stage.rig, DEFAULT, 12_000)
    await move(stage.rig, ZONE_A, 13_000)
    await stage.rig.until(
        "only the refused pool is behind", CONVERGED, lambda: _only_behind(stage.rig, "voice/default")
    )


async def _only_behind(rig: Rig, pool_key: str) -> bool:
    return all(problem.startswith(pool_key) for problem in await rig.differences())


async def test_a_pod_that_can_t_be_annotated_holds_no_other_relay_up(stage: Stage) -> None:
    refused = stage.rig.relays.by_node["node-1"]
    stage.rig.proxy.faults.refusals.append(Refusal(500, WRITES, path=f"/pods/{refused.pod}/status$"))
    await move(stage.rig, DEFAULT, 12_000)
    other = stage.rig.relays.by_node["node-3"]
    await stage.rig.until(
        "the other relay runs the edit", CONVERGED, lambda: other.entry and other.entry.port_range.start == 12_000
    )
    stage.rig.proxy.faults.clear()
    await stage.rig.converge(CONVERGED)


@pytest.mark.parametrize("mode", ["garbage", "silent", of_full("slow"), of_full("refusing")])
async def test_a_relay_that_says_nothing_that_counts_makes_its_own_pool_unknown_and_no_other(
    stage: Stage, mode: Mode
) -> None:
    relay = stage.rig.relays.by_node["node-1"]
    stage.rig.relays.set_mode(relay, mode)
    await stage.rig.converge(CONVERGED)
    ready = await condition(stage.rig, DEFAULT, "Ready")
    assert (ready["status"], "node-1" in ready["message"]) == ("Unknown", True)
    assert (await condition(stage.rig, ZONE_A, "Ready"))["status"] == "True"
    stage.rig.relays.set_mode(relay, "well")
    await stage.rig.converge(CONVERGED)
    assert (await condition(stage.rig, DEFAULT, "Ready"))["status"] == "True"


async def test_a_relay_of_an_older_version_is_understood_and_its_version_shown(stage: Stage) -> None:
    stage.rig.relays.set_mode(stage.rig.relays.by_node["node-1"], "old")
    await move(stage.rig, DEFAULT, 12_000)
    await stage.rig.converge(CONVERGED)

    async def shown() -> bool:
        found = await stage.rig.api.get(DEFAULT)
        return "0.0.9" in {row["softwareVersion"] for row in found["status"]["relays"]}

    await stage.rig.until("the version is shown", CONVERGED, shown)


async def test_a_configmap_that_is_deleted_comes_back_as_it_was(stage: Stage) -> None:
    before = (await stage.rig.api.get(CONFIG_MAP))["data"]
    await stage.rig.api.delete(CONFIG_MAP)
    await stage.rig.converge(CONVERGED)
    assert (await stage.rig.api.get(CONFIG_MAP))["data"] == before


@pytest.mark.parametrize(
    "text",
    [pytest.param(HAND_WRITTEN[0], id="empty-list"), pytest.param(HAND_WRITTEN[1], id="no-json")]
    + [of_full(*each) for each in zip(HAND_WRITTEN[2:], ("empty", "nested", "other-version"), strict=True)],
)
async def test_a_configmap_that_is_edited_by_hand_is_put_right(stage: Stage, text: str) -> None:
    before = (await stage.rig.api.get(CONFIG_MAP))["data"]
    await stage.rig.api.patch(CONFIG_MAP, {"data": {FILE_NAME: text}})
    await stage.rig.converge(CONVERGED)
    assert (await stage.rig.api.get(CONFIG_MAP))["data"] == before


async def test_a_relay_that_read_what_somebody_wrote_into_the_configmap_gets_its_own_entry_back(stage: Stage) -> None:
    relay = stage.rig.relays.by_node["node-1"]
    await stage.rig.api.patch(CONFIG_MAP, {"data": {FILE_NAME: HAND_WRITTEN[0]}})
    await stage.rig.until("the relay has read it", CONVERGED, lambda: _read(stage.rig, relay.node))
    assert relay.entry is None
    await stage.rig.converge(CONVERGED)


def _read(rig: Rig, node: str) -> bool:
    """The kubelet's own sync, once a minute, may come just before the operator's correction."""
    relay = rig.relays.by_node[node]
    rig.relays.read(relay, HAND_WRITTEN[0])
    return True


async def test_an_annotation_that_is_removed_is_set_again(stage: Stage) -> None:
    relay = stage.rig.relays.by_node["node-1"]
    await stage.rig.api.patch(f"{PODS}/{relay.pod}", {"metadata": {"annotations": {REFRESH_ANNOTATION: None}}})
    await stage.rig.until("the pod is annotated", CONVERGED, lambda: relay.revision is not None)
    await stage.rig.converge(CONVERGED)


async def test_a_pool_is_gone_at_once_with_the_operator_down_and_its_relays_are_the_other_s_after(
    stage: Stage,
) -> None:
    await stage.operator.kill()
    await stage.rig.api.delete(ZONE_A)
    assert await stage.rig.api.find(ZONE_A) is None
    stage.operator.start()
    await stage.rig.converge(CONVERGED)
    entry = stage.rig.relays.by_node["node-0"].entry
    assert entry is not None
    assert entry.name == "default"


async def test_relays_of_the_last_pool_are_on_their_environment_after_its_deletion(stage: Stage) -> None:
    await stage.operator.kill()
    for path in (ZONE_A, DEFAULT):
        await stage.rig.api.delete(path)
    stage.operator.start()
    await stage.rig.converge(CONVERGED)
    assert [relay.entry for relay in stage.rig.relays.by_node.values()] == [None] * 4
    assert json.loads((await stage.rig.api.get(CONFIG_MAP))["data"][FILE_NAME])["pools"] == []


async def test_a_pool_made_anew_under_its_old_name_is_another_pool(stage: Stage) -> None:
    old = (await stage.rig.api.get(DEFAULT))["metadata"]["uid"]
    await stage.operator.kill()
    await stage.rig.api.delete(DEFAULT)
    made = await stage.rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 15_000, 15_010))
    stage.operator.start()
    await stage.rig.converge(CONVERGED)
    entry = stage.rig.relays.by_node["node-1"].entry
    assert entry is not None
    assert entry.uid == made["metadata"]["uid"] != old


async def test_a_node_that_changes_its_label_changes_its_pool(stage: Stage) -> None:
    await stage.rig.api.patch("/api/v1/nodes/node-1", {"metadata": {"labels": {"zone": "a"}}})
    await stage.rig.converge(CONVERGED)
    entry = stage.rig.relays.by_node["node-1"].entry
    assert entry is not None
    assert entry.name == "zone-a"


async def test_a_relay_s_pod_that_is_replaced_is_heard_under_its_new_name(stage: Stage) -> None:
    await strike_and_lift(stage, fault_named("relay's pod replaced"))
    await stage.rig.converge(CONVERGED)


async def test_a_pool_of_a_tenant_gets_a_status_and_no_node(stage: Stage) -> None:
    before = (await stage.rig.api.get(CONFIG_MAP))["data"][FILE_NAME]
    await stage.rig.api.create(NAMESPACES, {"metadata": {"name": "tenant"}})
    evil = pool(
        "tenant", "mine", 10_000, 10_100, nodeSelector={"zone": "a"}, echo={"host": "listen.example", "port": 53}
    )
    await stage.rig.api.create(pools_of("tenant"), evil)
    path = pool_path("tenant", "mine")
    await stage.rig.until("its status is written", CONVERGED, lambda: _is_refused(stage, path))
    accepted = await condition(stage.rig, path, "Accepted")
    assert accepted["reason"] == "NamespaceNotHonoured"
    assert "operator.poolNamespaces" in accepted["message"]
    assert (await stage.rig.api.get(CONFIG_MAP))["data"][FILE_NAME] == before


async def test_an_operator_that_no_longer_honours_a_namespace_keeps_its_entries_and_applies_no_edit(
    stage: Stage,
) -> None:
    before = (await stage.rig.api.get(CONFIG_MAP))["data"][FILE_NAME]
    assert OTHER_NAMESPACE in before
    await stage.operator.end()
    stage.operator.start({"POOL_NAMESPACES": "", "FOREIGN_POOLS_MAY_TAKE_NODES": ""})
    await stage.rig.until("its status is written", CONVERGED, lambda: _is_refused(stage, ZONE_A))
    await move(stage.rig, ZONE_A, 12_000)
    await stage.rig.until("its status is written", CONVERGED, lambda: _observes_latest(stage, ZONE_A))
    assert (await stage.rig.api.get(CONFIG_MAP))["data"][FILE_NAME] == before
    assert "keep their last configuration" in (await condition(stage.rig, ZONE_A, "Accepted"))["message"]
    await stage.rig.persist(lambda: stage.rig.api.delete(ZONE_A))
    await stage.rig.converge(CONVERGED)


async def _is_refused(stage: Stage, path: str) -> bool:
    conditions = (await stage.rig.api.get(path)).get("status", {}).get("conditions", [])
    return any(each["reason"] == "NamespaceNotHonoured" for each in conditions)


async def _observes_latest(stage: Stage, path: str) -> bool:
    found = await stage.rig.api.get(path)
    return all(each["observedGeneration"] == found["metadata"]["generation"] for each in found["status"]["conditions"])
