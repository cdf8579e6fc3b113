"""Requests of accounts in an API server's audit log, compared with the roles of the accounts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

DONE, CREATED = 200, 201
SERVICE_ACCOUNT = "system:serviceaccount:"
POD_NAME = "authentication.kubernetes.io/pod-name"
Right = tuple[str, str, str, str]
"""Scope (`cluster` or a namespace), API group, resource with its subresource, verb."""


@dataclass(frozen=True, slots=True)
class Use:
    """One kind of request. `namespace` and `name` may be empty."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Written:
    """A completed write of the object `key` (`namespace/name`)."""

    at_unix_seconds: float
    key: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The requests of an account: `used` counts those that RBAC allowed, `denied` holds those that it refused."""

    used: Mapping[Use, int]
    denied: frozenset[Use]


def requests_of(
    lines: Iterable[str],
    accounts: Collection[str],
    since_unix_seconds: float = 0.0,
    left_out_pods: Collection[str] = (),
) -> list[str]:
    """Return the lines with requests of service accounts (`namespace/name`) since a time.

    The requests of `left_out_pods` are not among them. A bound token has its pod's name.
    """
    users = {user_of(account) for account in accounts}
    found = []
    for line in lines:
        event = json.loads(line)
        pods = event["user"].get("extra", {}).get(POD_NAME, [])
        if (
            event["user"]["username"] in users
            and _received_at(event) >= since_unix_seconds
            and not set(pods) & set(left_out_pods)
        ):
            found.append(line)
    return found


def accounts_of(lines: Iterable[str], since_unix_seconds: float = 0.0) -> set[str]:
    """Return the service accounts (`namespace/name`) that have made requests since a time."""
    events = map(json.loads, lines)
    return {
        event["user"]["username"].removeprefix(SERVICE_ACCOUNT).replace(":", "/")
        for event in events
        if event["user"]["username"].startswith(SERVICE_ACCOUNT) and _received_at(event) >= since_unix_seconds
    }


def user_of(account: str) -> str:
    """Return the user name of a service account, which is given as `namespace/name`."""
    return SERVICE_ACCOUNT + account.replace("/", ":")


def read_audit(lines: Iterable[str]) -> Audit:
    """Parse an audit log. Requests without a resource (discovery) need no role and are left out."""
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
            continue
        used[use] = used.get(use, 0) + 1
        if use.verb == "patch" and event.get("responseStatus", {}).get("code") == CREATED:
            # An apply that creates its object is checked for both verbs.
            creation = replace(use, verb="create")
            used[creation] = used.get(creation, 0) + 1
    return Audit(used, frozenset(denied))


def writes(lines: Iterable[str], resource: str, since_unix_seconds: float) -> list[Written]:
    """Return the completed patches of a resource since a time, in order."""
    found = []
    for line in lines:
        event = json.loads(line)
        reference = event.get("objectRef")
        if reference is None or event["stage"] != "ResponseComplete" or event["verb"] != "patch":
            continue
        at = _received_at(event)
        done = event.get("responseStatus", {}).get("code") == DONE
        if done and at >= since_unix_seconds and _use("patch", reference).resource == resource:
            found.append(Written(at, f"{reference.get('namespace', '')}/{reference['name']}"))
    return sorted(found, key=lambda each: each.at_unix_seconds)


def answered(lines: Iterable[str], since_unix_seconds: float, apart_from: str) -> int:
    """Return the number of requests since a time, discovery included, but for those of one resource."""
    events = map(json.loads, lines)
    return sum(
        event["stage"] == ("ResponseStarted" if event["verb"] == "watch" else "ResponseComplete")
        and _received_at(event) >= since_unix_seconds
        and event.get("objectRef", {}).get("resource") != apart_from
        for event in events
    )


def shortest_pause_seconds(written: Iterable[Written]) -> float | None:
    """Return the shortest time between two writes of one object; None if no object was written twice."""
    last: dict[str, float] = {}
    pauses = []
    for each in written:
        if each.key in last:
            pauses.append(each.at_unix_seconds - last[each.key])
        last[each.key] = each.at_unix_seconds
    return min(pauses, default=None)


def permissions_of(rendered: Iterable[Mapping[str, Any]], account: str) -> list[Mapping[str, Any]]:
    """Return the roles that a rendered chart binds to a service account (`namespace/name`)."""
    objects = list(rendered)
    namespace, _, name = account.partition("/")
    bound = {
        (binding["roleRef"]["kind"], binding["metadata"].get("namespace"), binding["roleRef"]["name"])
        for binding in objects
        if binding["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        for subject in binding["subjects"]
        if (subject["kind"], subject["namespace"], subject["name"]) == ("ServiceAccount", namespace, name)
    }
    return [
        each for each in objects if (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) in bound
    ]


def granted(permissions: Iterable[Mapping[str, Any]]) -> set[tuple[Right, frozenset[str]]]:
    """Return every right of the rendered roles, with the names that it is limited to (empty: all names)."""
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
    """Return a line for each right that no request needed."""
    return sorted(
        f"{verb} {group or 'core'}/{resource} in {where}"
        for (where, group, resource, verb), names in granted(permissions)
        if not any(_covers((where, group, resource, verb), names, use) for use in audit.used)
    )


def missing(permissions: Iterable[Mapping[str, Any]], audit: Audit) -> list[str]:
    """Return a line for each denied request that no role grants.

    A starting server also denies granted requests until it has read the roles. After a denied list of one object, the
    operator tries to get it, because the role of version 0.1.0 grants that alone.
    """
    rights = granted(permissions)
    return sorted(
        f"{use.verb} {use.group or 'core'}/{use.resource} {use.namespace}/{use.name}"
        for use in audit.denied
        if not any(_covers(right, names, use) for right, names in rights)
        and (use.verb != "get" or replace(use, verb="list") not in audit.denied)
    )


def table(audit: Audit) -> list[str]:
    """Return a line with the number of requests for each resource and verb."""
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


def _received_at(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()


def _use(verb: str, reference: Mapping[str, str]) -> Use:
    resource = reference.get("resource", "")
    if subresource := reference.get("subresource"):
        resource = f"{resource}/{subresource}"
    return Use(verb, reference.get("apiGroup", ""), resource, reference.get("namespace", ""), reference.get("name", ""))
