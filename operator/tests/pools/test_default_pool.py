"""Whether the values of the default pool are due, and the object that the operator applies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rtppool_core.contract.codec import ContractError, decode
from rtppool_operator.pools.default_pool import FIELD_MANAGER, DefaultPool, without_hook
from rtppool_operator.pools.spec import ClusterView, Pool

MakePool = Callable[..., Pool]
SPEC = {"portRange": {"start": 10000, "end": 10100}}
MANAGED = DefaultPool("default", managed=True, spec=SPEC)
ONCE = structs.replace(MANAGED, managed=False)


def view(*pools: Pool, recorded: str | None = None) -> ClusterView:
    return ClusterView(pools, (), {}, "", recorded)


@pytest.mark.parametrize("values", [MANAGED, ONCE], ids=["managed", "once"])
def test_a_pool_that_never_was_is_made(values: DefaultPool, make_pool: MakePool) -> None:
    assert values.is_due(view(), "voice")
    assert values.is_due(view(make_pool(namespace="other"), make_pool("another")), "voice"), "other pools are not it"


def test_values_win_at_their_change_and_an_edit_of_the_pool_is_none(make_pool: MakePool) -> None:
    applied = replace(make_pool(), values_digest=MANAGED.digest)
    edited = replace(make_pool(maxCalls=7), generation=9, values_digest=MANAGED.digest)
    changed = structs.replace(MANAGED, spec={"portRange": {"start": 20000, "end": 20100}})
    assert [MANAGED.is_due(view(pool), "voice") for pool in (applied, edited)] == [False, False]
    assert [changed.is_due(view(pool), "voice") for pool in (applied, edited)] == [True, True]


def test_a_pool_of_version_0_1_0_is_taken_over(make_pool: MakePool) -> None:
    assert MANAGED.is_due(view(make_pool()), "voice")


def test_a_deleted_pool_is_made_again_by_managed_values_alone() -> None:
    assert MANAGED.is_due(view(recorded="default"), "voice")
    assert not ONCE.is_due(view(recorded="default"), "voice")


def test_a_pool_that_is_made_once_is_never_touched_whatever_it_has(make_pool: MakePool) -> None:
    for pool in (make_pool(), replace(make_pool(), values_digest="other"), make_pool(maxCalls=3)):
        assert not ONCE.is_due(view(pool), "voice")


def test_a_record_of_another_name_does_not_count() -> None:
    assert ONCE.is_due(view(recorded="former"), "voice")


@given(st.permutations(["portRange", "echo", "maxCalls"]), st.integers(1, 9))
def test_the_digest_follows_values_and_not_their_order(names: list[str], calls: int) -> None:
    spec: dict[str, Any] = {"portRange": SPEC["portRange"], "echo": {"host": "127.0.0.1"}, "maxCalls": calls}
    ordered = structs.replace(MANAGED, spec={name: spec[name] for name in names})
    assert ordered.digest == structs.replace(MANAGED, spec=spec).digest
    assert ordered.digest != structs.replace(MANAGED, spec={**spec, "maxCalls": calls + 1}).digest


def test_the_object_has_the_digest_only_where_values_win_and_never_the_label_that_argo_cd_prunes_by() -> None:
    managed, once = MANAGED.document("voice"), ONCE.document("voice")
    assert managed["metadata"]["annotations"] == {"rtppool.dev/values-digest": MANAGED.digest}
    assert "annotations" not in once["metadata"]
    for document in (managed, once):
        assert document["spec"] == SPEC
        assert "app.kubernetes.io/instance" not in document["metadata"]["labels"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"default"',
        '{"name": "default", "managed": true}',
        '{"name": "default", "managed": "yes", "spec": {}}',
        '{"name": "Upper", "managed": true, "spec": {}}',
        '{"name": "a..b", "managed": true, "spec": {}}',
        '{"name": "line\\n", "managed": true, "spec": {}}',
        '{"name": "%s", "managed": true, "spec": {}}' % ("a" * 254),
        '{"name": "default", "managed": true, "spec": []}',
        '{"name": "default", "managed": true, "spec": {}, "labels": ["team"]}',
        '{"name": "default", "managed": true, "spec": {}, "labels": {"team": 3}}',
    ],
)
def test_values_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ContractError):
        decode(DefaultPool, text)


def test_labels_of_the_values_are_on_the_pool_and_their_change_is_one_of_the_values() -> None:
    labelled = decode(
        DefaultPool, json.dumps({"name": "default", "managed": True, "spec": SPEC, "labels": {"team": "a"}})
    )
    assert labelled.document("voice")["metadata"]["labels"].items() >= {("team", "a")}
    assert labelled.digest != MANAGED.digest


def test_values_are_read_as_the_chart_writes_them() -> None:
    assert decode(DefaultPool, json.dumps({"name": "default", "managed": True, "spec": SPEC})) == MANAGED


HOOK = {"f:metadata": {"f:annotations": {".": {}, "f:helm.sh/hook": {}}}, "f:spec": {"f:maxCalls": {}}}
STATUS = {"manager": "rtp-pool-operator", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}
EDIT = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:portRange": {}}}}


@pytest.mark.parametrize("manager", ["helm", "argocd-controller"])
def test_the_fields_of_the_former_hook_become_those_of_the_values(manager: str) -> None:
    hook = {"manager": manager, "operation": "Update", "fieldsV1": HOOK}
    assert without_hook([hook, EDIT, STATUS]) == [
        {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": HOOK},
        EDIT,
        STATUS,
    ]


def test_fields_of_users_and_of_values_stay() -> None:
    ours = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": HOOK}
    assert without_hook([]) is None
    assert without_hook([EDIT, STATUS]) is None
    assert without_hook([ours, EDIT, {"manager": "helm", "operation": "Update", "fieldsV1": HOOK}]) is None
