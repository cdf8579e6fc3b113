from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from lab.faults.operator.api.audit import answered, missing, read_audit, shortest_pause_seconds, table, unused, writes

ROLES = [
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
