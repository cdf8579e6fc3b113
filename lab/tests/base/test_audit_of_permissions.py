from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from lab.base.audit_log import (
    accounts_of,
    answered,
    missing,
    permissions_of,
    read_audit,
    requests_of,
    shortest_pause_seconds,
    table,
    unused,
    writes,
)

ROLES: list[dict[str, Any]] = [
    {
        "kind": "ClusterRole",
        "metadata": {"name": "r"},
        "rules": [
            {"apiGroups": ["rtppool.dev"], "resources": ["rtppools"], "verbs": ["list", "watch"]},
            {"apiGroups": ["x"], "resources": ["crds"], "resourceNames": ["ours"], "verbs": ["get"]},
        ],
    },
    {
        "kind": "Role",
        "metadata": {"name": "r", "namespace": "voice"},
        "rules": [{"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}],
    },
]


def event(verb: str, reference: dict[str, str] | None, stage: str = "ResponseComplete", decision: str = "allow") -> str:
    document: dict[str, Any] = {
        "verb": verb,
        "stage": stage,
        "annotations": {"authorization.k8s.io/decision": decision},
    }
    return json.dumps(document | ({"objectRef": reference} if reference is not None else {}))


POOLS = {"apiGroup": "rtppool.dev", "resource": "rtppools"}
POD = {"resource": "pods", "subresource": "status", "namespace": "voice", "name": "relay"}
USED = [
    event("list", POOLS),
    event("watch", POOLS, "ResponseStarted"),
    event("get", {"apiGroup": "x", "resource": "crds", "name": "ours"}),
    event("patch", POD),
]


def test_a_log_that_uses_every_right_leaves_none_over() -> None:
    assert unused(ROLES, read_audit(USED)) == []


def test_a_right_that_nothing_used_is_named() -> None:
    assert unused(ROLES, read_audit(USED[:-1])) == ["patch core/pods/status in voice"]


def test_a_right_by_name_is_not_used_by_another_object() -> None:
    other = event("get", {"apiGroup": "x", "resource": "crds", "name": "others"})
    assert unused(ROLES, read_audit([*USED[:2], other, USED[3]])) == ["get x/crds in cluster"]


def test_a_right_in_a_namespace_is_not_used_in_another() -> None:
    elsewhere = event("patch", POD | {"namespace": "other"})
    assert unused(ROLES, read_audit([*USED[:3], elsewhere])) == ["patch core/pods/status in voice"]


def test_what_was_denied_is_told_and_is_no_use() -> None:
    audit = read_audit([event("list", POOLS, decision="forbid")])
    assert [use.verb for use in audit.denied] == ["list"]
    assert "list rtppool.dev/rtppools in cluster" in unused(ROLES, audit)


def test_a_denial_of_what_a_role_grants_is_the_server_s_beginning_and_any_other_a_right_that_is_missing() -> None:
    audit = read_audit([event("list", POOLS, decision="forbid"), event("delete", POOLS, decision="forbid")])
    assert missing(ROLES, audit) == ["delete rtppool.dev/rtppools /"]


def test_a_get_after_a_denied_list_of_the_object_is_no_missing_right() -> None:
    get, listing = (event(verb, POOLS | {"name": "default"}, decision="forbid") for verb in ("get", "list"))
    assert missing(ROLES, read_audit([listing, get])) == []
    assert missing(ROLES, read_audit([get])) == ["get rtppool.dev/rtppools /default"]


def test_writes_of_an_object_have_a_shortest_pause() -> None:
    def patched(name: str, second: int, code: int = 200) -> str:
        document = json.loads(event("patch", POD | {"name": name}))
        at = f"2026-01-01T00:00:{second:02d}.000000Z"
        return json.dumps(document | {"requestReceivedTimestamp": at, "responseStatus": {"code": code}})

    log = [patched("a", 1), patched("b", 2), patched("a", 5), patched("a", 6, code=409), patched("b", 9)]
    assert shortest_pause_seconds(writes(log, "pods/status", 0)) == 4.0
    assert shortest_pause_seconds(writes(log[:2], "pods/status", 0)) is None


def test_a_watch_counts_when_it_begins_and_once() -> None:
    audit = read_audit([event("watch", POOLS, "ResponseStarted"), event("watch", POOLS)])
    assert table(audit) == ["rtppool.dev/rtppools watch: 1"]


def test_an_apply_that_creates_its_object_uses_two_rights() -> None:
    created = json.dumps(json.loads(event("patch", POOLS)) | {"responseStatus": {"code": 201}})
    assert table(read_audit([created])) == ["rtppool.dev/rtppools create: 1", "rtppool.dev/rtppools patch: 1"]


def test_discovery_needs_no_role() -> None:
    assert read_audit([event("get", None)]).used == {}


def test_requests_since_a_time_count_once_with_discovery_and_without_the_lease() -> None:
    def at(second: int, line: str) -> str:
        return json.dumps(json.loads(line) | {"requestReceivedTimestamp": f"2026-01-01T00:00:{second:02d}.000000Z"})

    since = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()
    log = [
        at(4, event("list", POOLS)),
        at(5, event("list", POOLS)),
        at(6, event("watch", POOLS, "ResponseStarted")),
        at(6, event("watch", POOLS)),
        at(7, event("get", None)),
        at(8, event("update", {"resource": "leases"})),
    ]
    assert answered(log, since, "leases") == 3


def of_account(account: str, pod: str = "p", second: int = 0) -> str:
    document = json.loads(event("list", POOLS))
    user = {"username": f"system:serviceaccount:{account}", "extra": {"authentication.kubernetes.io/pod-name": [pod]}}
    return json.dumps(document | {"user": user, "requestReceivedTimestamp": f"2026-01-01T00:00:{second:02d}.000000Z"})


def test_the_requests_of_chosen_accounts_are_read_and_no_others() -> None:
    operator, others = of_account("voice:operator"), [of_account("voice:job"), of_account("other:operator")]
    assert requests_of([operator, *others], {"voice/operator"}) == [operator]


def test_requests_before_a_run_and_of_pods_of_another_version_are_left_out() -> None:
    since = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()
    earlier, later, previous = of_account("v:o", second=4), of_account("v:o", second=5), of_account("v:o", "old", 6)
    assert requests_of([earlier, later, previous], {"v/o"}, since, {"old"}) == [later]


def test_the_accounts_of_a_log_since_a_time_are_known() -> None:
    since = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()
    assert accounts_of([of_account("v:o", second=4), of_account("v:p", second=5)], since) == {"v/p"}


def test_an_account_without_a_pod_has_requests_as_well() -> None:
    user = {"username": "system:serviceaccount:v:o"}
    line = json.dumps(json.loads(of_account("v:o")) | {"user": user})
    assert requests_of([line], {"v/o"}, left_out_pods={"old"}) == [line]


def test_an_account_has_the_roles_that_are_bound_to_it() -> None:
    def binding(kind: str, role: dict[str, Any], account: str) -> dict[str, Any]:
        return {
            "kind": f"{kind}Binding",
            "metadata": role["metadata"] | {"name": f"binding-of-{account}"},
            "roleRef": {"kind": kind, "name": role["metadata"]["name"]},
            "subjects": [{"kind": "ServiceAccount", "namespace": "voice", "name": account}],
        }

    cluster, inside = ROLES
    bindings = [binding("ClusterRole", cluster, "job"), binding("Role", inside, "operator")]
    rendered = [{"kind": "ServiceAccount", "metadata": {"name": "operator"}}, *ROLES, *bindings]
    assert permissions_of(rendered, "voice/operator") == [inside]
    assert permissions_of(rendered, "voice/job") == [cluster]
