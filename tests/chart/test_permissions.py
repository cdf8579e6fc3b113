"""The chart grants the operator the rights of this table and no others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from rtppool_core.contract.pools_file import CONFIG_MAP_NAME
from rtppool_operator.kube.lease import LEASE_NAME
from rtppool_operator.pools.spec import CRD_NAME, GROUP, PLURAL

CHART = Path(__file__).resolve().parents[2] / "charts/rtp-pool"
Where = Literal["cluster", "release", "kube-system"]


@dataclass(frozen=True, slots=True)
class Permission:
    """`verbs` on a resource of an API group, on `names` alone where given, in the whole cluster or a namespace.

    `why` is the comment above the chart's rule.
    """

    where: Where
    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()


PERMISSIONS = (
    Permission(
        "cluster",
        GROUP,
        PLURAL,
        ("list", "watch"),
        "Pools of all namespaces, because a pool that is not honoured has a status as well.",
    ),
    Permission("cluster", GROUP, f"{PLURAL}/status", ("patch",), "Statuses only, never a spec."),
    Permission("cluster", "", "nodes", ("list", "watch"), "Labels for nodeSelector, and the ExternalIP to advertise."),
    Permission("cluster", "", "events", ("create",), "Events are created in their pool's namespace."),
    Permission(
        "cluster",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        ("get", "patch", "create"),
        "The CRD, where it is missing or older. An apply has the name, so even its creation is granted by name.",
        (CRD_NAME,),
    ),
    Permission("release", "", "pods", ("list", "watch"), "The relays' nodes and addresses."),
    Permission("release", "", "pods/status", ("patch",), "Annotations of a pod. This right can't change its image."),
    Permission(
        "release", "", "configmaps", ("list", "watch", "patch"), "The relays' configuration.", (CONFIG_MAP_NAME,)
    ),
    Permission("release", "", "configmaps", ("create",), "Creation can't be granted by name."),
    Permission(
        "release",
        GROUP,
        PLURAL,
        ("get", "patch", "create"),
        "The default pool, made from the chart's values. The operator writes the spec of no other pool.",
        ("default",),
    ),
    Permission(
        "kube-system",
        "coordination.k8s.io",
        "leases",
        ("get", "update"),
        "The lease of the one operator in the cluster.",
        (LEASE_NAME,),
    ),
    Permission("kube-system", "coordination.k8s.io", "leases", ("create",), "Creation can't be granted by name."),
)


WITHOUT_INSTALL = "# The CRD, to wait for one that is missing or older."


def rules(role: dict[str, Any]) -> list[dict[str, Any]]:
    return list(role["rules"])


@pytest.fixture
def operator_rules(defaults: Any) -> dict[str, list[dict[str, Any]]]:
    return {
        "cluster": rules(defaults.find("ClusterRole", "voice-rtp-operator")),
        "release": rules(defaults.find("Role", "rtp-operator")),
        "kube-system": rules(defaults.find("Role", "voice-rtp-operator")),
    }


def granted(rules_of: dict[str, list[dict[str, Any]]]) -> set[tuple[str, ...]]:
    """(where, group, resource, verb, names) of every right."""
    return {
        (where, group, resource, verb, *sorted(rule.get("resourceNames", [])))
        for where, rules in rules_of.items()
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_has_what_it_uses_and_no_more(operator_rules: dict[str, list[dict[str, Any]]]) -> None:
    used = {
        (used.where, used.group, used.resource, verb, *sorted(used.names))
        for used in PERMISSIONS
        for verb in used.verbs
    }
    assert granted(operator_rules) == used


def commented_rules() -> list[tuple[str, dict[str, Any]]]:
    """Each rule of the operator's templates with the comment right above it."""
    rules: list[tuple[str, dict[str, Any]]] = []
    for name in ("rbac.yaml", "_rules.tpl"):
        lines = (CHART / "templates/operator" / name).read_text().splitlines()
        for at, line in enumerate(lines):
            if line.lstrip().startswith("- apiGroups:"):
                indent = line.index("-")
                end = next(
                    (later for later in range(at + 1, len(lines)) if not lines[later].startswith(" " * (indent + 2))),
                    len(lines),
                )
                (rule,) = yaml.safe_load("\n".join(each[indent:] for each in lines[at:end]))
                rules.append((lines[at - 1].strip(), rule))
    return rules


def test_every_rule_says_in_a_comment_above_it_what_the_table_says() -> None:
    said = sorted(
        (comment, *rule["resources"], *rule["verbs"])
        for comment, rule in commented_rules()
        if comment != WITHOUT_INSTALL
    )
    meant = sorted((f"# {each.why}", each.resource, *each.verbs) for each in PERMISSIONS)
    assert said == meant


def test_nothing_is_granted_by_a_wildcard(defaults: Any) -> None:
    for role in (o for o in defaults if o["kind"] in {"Role", "ClusterRole"}):
        for rule in rules(role):
            assert "nonResourceURLs" not in rule
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"], *rule.get("resourceNames", [])]


def test_the_configmap_the_lease_and_the_definition_are_granted_by_name(
    operator_rules: dict[str, list[dict[str, Any]]],
) -> None:
    named = {"configmaps": "rtp-relay-config", "customresourcedefinitions": "rtppools.rtppool.dev"}
    for rule in (rule for granted in operator_rules.values() for rule in granted):
        for resource in named.keys() & set(rule["resources"]):
            if set(rule["verbs"]) != {"create"}:
                assert rule["resourceNames"] == [named[resource]]


def test_pods_can_be_annotated_and_nothing_more(operator_rules: dict[str, list[dict[str, Any]]]) -> None:
    granted = {
        (resource, verb)
        for rule in operator_rules["release"] + operator_rules["cluster"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if resource.startswith("pods")
    }
    assert granted <= {("pods", "get"), ("pods", "list"), ("pods", "watch"), ("pods/status", "patch")}


def test_no_secret_can_be_read(operator_rules: dict[str, list[dict[str, Any]]]) -> None:
    assert not any("secrets" in rule["resources"] for granted in operator_rules.values() for rule in granted)


def test_a_release_that_must_not_install_the_definition_may_only_read_it(render: Any) -> None:
    rendered = render({"crds.install": False})
    verbs = [
        rule["verbs"]
        for rule in rules(rendered.find("ClusterRole", "voice-rtp-operator"))
        if "customresourcedefinitions" in rule["resources"]
    ]
    assert verbs == [["get"]]


def test_the_upgrade_job_may_touch_the_definition_alone(defaults: Any) -> None:
    assert {
        resource
        for rule in rules(defaults.find("ClusterRole", "voice-rtp-crd-upgrade"))
        for resource in rule["resources"]
    } == {"customresourcedefinitions"}
