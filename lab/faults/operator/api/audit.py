"""What the operator's account asked for, by the API server's audit log, held against the roles that it has. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

DONE = 200
Right = tuple[str, str, str, str]
"""Where (`cluster` or a namespace), API group, resource with its subresource, verb."""


@dataclass(frozen=True, slots=True)
class Use:
    """One kind of request. `namespace` and `name` are empty where the request has none."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Written:
    """A request that was carried out: when, in Unix seconds, and on which object (`namespace/name`)."""

    at_unix_seconds: float
    key: str


@dataclass(frozen=True, slots=True)
class Audit:
    """`used` counts requests that RBAC allowed; `denied` are those that it refused, be it once."""

    used: Mapping[Use, int]
    denied: frozenset[Use]


def read_audit(lines: Iterable[str]) -> Audit:
    """Read an audit log; requests that are not for a resource (discovery) need no role of ours and are left out."""
    used: dict[Use, int] = {}
    denied = set()
    for line in lines:
        event = json.loads(line)
        reference = event.get("objectRef")
        watch = event["verb"] == "watch"
        if reference is None or event["stage"] != ("ResponseStarted" if watch else "ResponseComplete"):
            continue
        use = _use(event["verb"], reference)
        if event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid":
            denied.add(use)
        else:
            used[use] = used.get(use, 0) + 1
    return Audit(used, frozenset(denied))


def writes(lines: Iterable[str], resource: str, since_unix_seconds: float) -> list[Written]:
    """The patches of a resource that were carried out since then, in order."""
    found = []
    for line in lines:
        event = json.loads(line)
        reference = event.get("objectRef")
        if reference is None or event["stage"] != "ResponseComplete" or event["verb"] != "patch":
            continue
        at = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        done = event.get("responseStatus", {}).get("code") == DONE
        if done and at >= since_unix_seconds and _use("patch", reference).resource == resource:
            found.append(Written(at, f"{reference.get('namespace', '')}/{reference['name']}"))
    return sorted(found, key=lambda each: each.at_unix_seconds)


def shortest_pause_seconds(written: Iterable[Written]) -> float | None:
    """The shortest time between two writes of one object; None where none was written twice."""
    last: dict[str, float] = {}
    pauses = []
    for each in written:
        if each.key in last:
            pauses.append(each.at_unix_seconds - last[each.key])
        last[each.key] = each.at_unix_seconds
    return min(pauses, default=None)


def granted(permissions: Iterable[Mapping[str, Any]]) -> set[tuple[Right, frozenset[str]]]:
    """Every right of the rendered roles with the names that it is limited to (empty: none)."""
    return {
        (
            (role["metadata"].get("namespace", "cluster"), group, resource, verb),
            frozenset(rule.get("resourceNames", [])),
        )
        for role in permissions
        if role["kind"] in {"Role", "ClusterRole"}
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def unused(permissions: Iterable[Mapping[str, Any]], audit: Audit) -> list[str]:
    """The rights that no request needed, as sentences."""
    return sorted(
        f"{verb} {group or 'core'}/{resource} in {where}"
        for (where, group, resource, verb), names in granted(permissions)
        if not any(_covers((where, group, resource, verb), names, use) for use in audit.used)
    )


def missing(permissions: Iterable[Mapping[str, Any]], audit: Audit) -> list[str]:
    """What was denied and no role grants, as sentences.

    A server that has just begun denies for a moment what its roles grant: it has not read them yet.
    """
    rights = granted(permissions)
    return sorted(
        f"{use.verb} {use.group or 'core'}/{use.resource} {use.namespace}/{use.name}"
        for use in audit.denied
        if not any(_covers(right, names, use) for right, names in rights)
    )


def table(audit: Audit) -> list[str]:
    """A line for each kind of request, names left out where there are many."""
    summed: dict[tuple[str, str, str], int] = {}
    for use, times in audit.used.items():
        key = (use.group or "core", use.resource, use.verb)
        summed[key] = summed.get(key, 0) + times
    return [f"{group}/{resource} {verb}: {times}" for (group, resource, verb), times in sorted(summed.items())]


def _covers(right: Right, names: frozenset[str], use: Use) -> bool:
    where, group, resource, verb = right
    return (
        (use.verb, use.group, use.resource) == (verb, group, resource)
        and where in {"cluster", use.namespace}
        and (not names or use.name in names)
    )


def _use(verb: str, reference: Mapping[str, str]) -> Use:
    resource = reference.get("resource", "")
    if subresource := reference.get("subresource"):
        resource = f"{resource}/{subresource}"
    return Use(verb, reference.get("apiGroup", ""), resource, reference.get("namespace", ""), reference.get("name", ""))
