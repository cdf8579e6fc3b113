"""The operator makes the default pool from the chart's values, with the rights of the chart's roles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.faults.operator.api.api_client import JSON_PATCH
from lab.faults.operator.api.resources import NAMESPACE, Document, pool, pool_path, pools_of
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig

pytestmark = pytest.mark.timeout(240)
WITHIN = 45.0
PATH = pool_path(NAMESPACE, "default")
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/rtp-operator"
CREATED_BY_HOOK = {"helm.sh/hook": "post-install", "helm.sh/resource-policy": "keep"}


def start(rig: Rig, first: int = 10_000, last: int = 10_100, *, managed: bool = True, **spec: Any) -> OperatorProcess:
    values = {"name": "default", "managed": managed, "spec": {"portRange": {"start": first, "end": last}, **spec}}
    operator = rig.operator()
    operator.start({"DEFAULT_POOL": json.dumps(values)})
    return operator


async def until(rig: Rig, condition: str, **wanted: Any) -> Document:
    """Wait until the default pool's spec has these fields; return the pool."""

    async def is_met() -> bool:
        found = await rig.api.find(PATH)
        return found is not None and wanted.items() <= found["spec"].items()

    await rig.until(condition, WITHIN, is_met)
    return await rig.api.get(PATH)


def ports(first: int, last: int) -> dict[str, int]:
    return {"start": first, "end": last}


async def ready(rig: Rig, operator: OperatorProcess) -> None:
    await rig.until("the operator is ready", WITHIN, operator.is_ready)


async def test_it_is_made_on_an_empty_cluster_and_relays_run_on_it(empty_rig: Rig) -> None:
    operator = start(empty_rig, 12_000, 12_010, maxCalls=5)
    made = await until(empty_rig, "the pool is made", portRange=ports(12_000, 12_010), maxCalls=5)
    await ready(empty_rig, operator)
    await empty_rig.converge(WITHIN)
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "rtp-pool-operator"
    managers = {each["manager"] for each in made["metadata"]["managedFields"] if not each.get("subresource")}
    assert managers == {"rtp-pool-values"}


async def test_a_pool_of_version_0_1_0_is_taken_over_with_its_uid_and_without_its_hook(empty_rig: Rig) -> None:
    former = pool(NAMESPACE, "default", 10_000, 10_100, maxCalls=50)
    former["metadata"]["annotations"] = CREATED_BY_HOOK
    made = await empty_rig.api.request("POST", pools_of(NAMESPACE), former, query={"fieldManager": "helm"})
    await empty_rig.api.patch(PATH, {"spec": {"reuseDelaySeconds": 17}}, fieldManager="kubectl-edit")
    start(empty_rig, 20_000, 20_100)
    taken = await until(empty_rig, "the range follows", portRange=ports(20_000, 20_100))
    assert taken["metadata"]["uid"] == made["metadata"]["uid"]
    assert "maxCalls" not in taken["spec"], "a field of the hook that the values do not have"
    assert taken["spec"]["reuseDelaySeconds"] == 17, "an edit of a user"
    assert not taken["metadata"]["annotations"].keys() & CREATED_BY_HOOK.keys()
    await empty_rig.converge(WITHIN)


async def test_an_edit_outlives_restarts_and_other_values_win_over_it_on_their_fields(empty_rig: Rig) -> None:
    operator = start(empty_rig, 10_000, 10_100, maxCalls=50)
    made = await until(empty_rig, "the pool is made", maxCalls=50)
    await empty_rig.api.patch(PATH, {"spec": {"portRange": ports(11_000, 11_010), "paused": False}})
    await operator.kill()
    again = start(empty_rig, 10_000, 10_100, maxCalls=50)
    await ready(empty_rig, again)
    await empty_rig.converge(WITHIN)
    assert (await empty_rig.api.get(PATH))["spec"]["portRange"] == ports(11_000, 11_010)
    await again.end()
    start(empty_rig, 10_000, 10_200)
    changed = await until(empty_rig, "the values win", portRange=ports(10_000, 10_200))
    assert "maxCalls" not in changed["spec"], "a field that left the values leaves the pool"
    assert changed["spec"]["paused"] is False
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_deleted_pool_is_made_again(empty_rig: Rig) -> None:
    start(empty_rig)
    first = await until(empty_rig, "the pool is made", portRange=ports(10_000, 10_100))
    await empty_rig.api.delete(PATH)

    async def is_new() -> bool:
        found = await empty_rig.api.find(PATH)
        return found is not None and found["metadata"]["uid"] != first["metadata"]["uid"]

    await empty_rig.until("another pool is made", WITHIN, is_new)
    await empty_rig.converge(WITHIN)


async def test_a_pool_that_is_not_managed_is_made_once_never_changed_and_never_made_again(empty_rig: Rig) -> None:
    operator = start(empty_rig, managed=False)
    await until(empty_rig, "the pool is made", portRange=ports(10_000, 10_100))
    await ready(empty_rig, operator)
    await operator.end()
    other = start(empty_rig, 20_000, 20_100, managed=False)
    await ready(empty_rig, other)
    await empty_rig.converge(WITHIN)
    assert (await empty_rig.api.get(PATH))["spec"]["portRange"] == ports(10_000, 10_100)
    await empty_rig.api.delete(PATH)
    await empty_rig.converge(WITHIN)
    await other.end()
    await ready(empty_rig, start(empty_rig, managed=False))
    await empty_rig.converge(WITHIN)
    assert await empty_rig.api.find(PATH) is None


async def test_values_that_the_api_server_refuses_are_a_sentence_and_change_nothing(empty_rig: Rig) -> None:
    await empty_rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
    operator = start(empty_rig, 10_100, 10_000)
    sentence = "the values of the default pool default can't be applied: apply rtppool voice/default: 422"

    async def is_said() -> bool:
        return sentence in (await operator.answer("/ready"))[1]

    await empty_rig.until("the refusal is said", WITHIN, is_said)
    await empty_rig.converge(WITHIN)
    assert operator.runs
    assert operator.log.read_text().count(sentence) == 1
    assert 'rtp_operator_errors_total{what="default_pool"} ' in (await operator.answer("/metrics"))[1]
    assert (await empty_rig.api.get(PATH))["spec"]["portRange"] == ports(10_000, 10_100)


async def test_a_right_that_comes_late_is_used(empty_rig: Rig) -> None:
    rules = (await empty_rig.api.get(ROLE))["rules"]
    at = next(number for number, rule in enumerate(rules) if rule["resources"] == ["rtppools"])
    await empty_rig.api.patch(ROLE, [{"op": "remove", "path": f"/rules/{at}"}], JSON_PATCH)
    operator = start(empty_rig)

    async def is_refused() -> bool:
        return "403" in (await operator.answer("/ready"))[1]

    await empty_rig.until("the refusal is said", WITHIN, is_refused)
    await empty_rig.api.patch(ROLE, {"rules": rules})
    await until(empty_rig, "the pool is made", portRange=ports(10_000, 10_100))
    await ready(empty_rig, operator)


async def test_the_right_to_write_a_spec_is_that_of_the_default_pool_alone(empty_rig: Rig) -> None:
    values = {"name": "another", "managed": True, "spec": {"portRange": ports(13_000, 13_010)}}
    operator = empty_rig.operator()
    operator.start({"DEFAULT_POOL": json.dumps(values)})

    async def is_refused() -> bool:
        return "403" in (await operator.answer("/ready"))[1]

    await empty_rig.until("the refusal is said", WITHIN, is_refused)
    assert await empty_rig.api.find(pool_path(NAMESPACE, "another")) is None
