"""Additions of users to pods, accounts, roles and rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_accepted_values import ALL, WORKING

ROOT = Path(__file__).resolve().parents[2]
EVERY_PART = {
    "ari.existingSecret": "asterisk",
    "ari.url": "https://pbx:8089/ari",
    "ari.caSecret": "ca",
    "echo.dscp": 46,
    "echo.allow": ["10.0.0.0/8"],
    "echo.bindAddress": "$(NODE_IP)",
}
HOLDERS = {"echo": "DaemonSet", "relay": "DaemonSet", "operator": "Deployment"}


@pytest.fixture(scope="module")
def extended(render: Any) -> Any:
    return render(WORKING["additions"])


@pytest.mark.parametrize("of", ALL)
def test_a_container_gets_variables_volumes_and_mounts_of_its_users(extended: Any, of: str) -> None:
    container = extended.container(HOLDERS[of], f"rtp-{of}")
    assert {"name": "HTTPS_PROXY", "value": "http://proxy:3128"} in container["env"]
    assert {"name": "certificates", "mountPath": "/etc/ssl/own", "readOnly": True} in container["volumeMounts"]
    volumes = extended.pod(HOLDERS[of], f"rtp-{of}")["spec"]["volumes"]
    assert {"name": "certificates", "configMap": {"name": "ca"}} in volumes


def test_a_mesh_is_kept_out_of_every_pod_by_a_label(extended: Any) -> None:
    for name, pod in extended.pods().items():
        assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false", name
        assert pod["metadata"]["annotations"]["note"] == "yes", name


def test_an_annotation_of_the_values_replaces_the_chart_s(extended: Any) -> None:
    assert extended.pod("DaemonSet", "rtp-echo")["metadata"]["annotations"]["prometheus.io/port"] == "9999"


def test_common_labels_are_on_every_object_and_every_pod_and_in_no_selector(render: Any) -> None:
    rendered = render({"commonLabels": {"cost": "voice"}})
    for o in rendered:
        assert o["metadata"]["labels"]["cost"] == "voice", o["metadata"]["name"]
        assert "cost" not in o.get("spec", {}).get("selector", {}).get("matchLabels", {})
    for name, pod in rendered.pods().items():
        assert pod["metadata"]["labels"]["cost"] == "voice", name


@pytest.mark.parametrize("of", ALL)
def test_an_account_has_the_name_and_the_annotations_of_the_values(extended: Any, of: str) -> None:
    assert extended.find("ServiceAccount", f"own-{of}")["metadata"]["annotations"] == {"cloud/role": "x"}
    assert extended.pod(HOLDERS[of], f"rtp-{of}")["spec"]["serviceAccountName"] == f"own-{of}"


def test_the_operator_s_rights_go_to_its_own_account(extended: Any) -> None:
    for kind, name in (("ClusterRoleBinding", "voice-rtp-operator"), ("RoleBinding", "rtp-operator")):
        (subject,) = extended.find(kind, name)["subjects"]
        assert subject["name"] == "own-operator"


def test_an_administrator_s_accounts_and_roles_replace_all_of_the_chart_s(render: Any) -> None:
    rendered = render(WORKING["accounts and roles of an administrator"])
    kinds = {o["kind"] for o in rendered}
    assert not kinds & {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    assert {pod["spec"]["serviceAccountName"] for pod in rendered.pods().values()} == {"made"}


def test_without_an_account_of_its_own_a_relay_uses_the_default_one(render: Any) -> None:
    rendered = render({"relay.serviceAccount.create": False})
    assert rendered.pod("DaemonSet", "rtp-relay")["spec"]["serviceAccountName"] == "default"


def test_roles_of_the_cluster_have_pools_unless_aggregation_is_off(render: Any, defaults: Any) -> None:
    edit = defaults.find("ClusterRole", "voice-rtp-pools-edit")
    view = defaults.find("ClusterRole", "voice-rtp-pools-view")
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert {key for key in view["metadata"]["labels"] if key.startswith(prefix)} == {
        f"{prefix}{role}" for role in ("view", "edit", "admin")
    }
    assert f"{prefix}view" not in edit["metadata"]["labels"]
    assert view["rules"][0]["verbs"] == ["get", "list", "watch"]
    assert {rule["resources"][0] for rule in (*view["rules"], *edit["rules"])} == {"rtppools"}
    assert not [name for _, name in render({"rbac.aggregate": False}).names() if "-pools-" in name]


@pytest.mark.parametrize("field", ["runAsUser", "runAsGroup", "fsGroup"])
def test_a_null_takes_a_field_of_the_security_context_away(render: Any, field: str) -> None:
    for name, pod in render({f"podSecurityContext.{field}": None}).pods().items():
        assert field not in pod["spec"]["securityContext"], name
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_real_time_adds_to_the_capabilities_of_the_values(render: Any) -> None:
    capabilities = {"drop": ["ALL"], "add": ["NET_RAW"]}
    rendered = render({"realTime": True, "securityContext": {"capabilities": capabilities}})
    context = rendered.container("DaemonSet", "rtp-relay")["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW", "SYS_NICE"]}


def test_a_rollout_takes_as_many_nodes_at_once_as_the_values_say(render: Any) -> None:
    rendered = render({"relay.updateStrategy.maxUnavailable": 7, "echo.updateStrategy.type": "OnDelete"})
    relay = rendered.find("DaemonSet", "rtp-relay")["spec"]["updateStrategy"]
    assert relay == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 7}}
    assert rendered.find("DaemonSet", "rtp-echo")["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_a_second_operator_stands_by_during_rollouts_and_evictions(render: Any) -> None:
    alone = render({"operator.replicas": 1})
    assert not [o for o in alone if o["kind"] == "PodDisruptionBudget"]
    assert alone.find("Deployment", "rtp-operator")["spec"]["strategy"] == {"type": "Recreate"}
    rendered = render(WORKING["two operators"])
    deployment = rendered.find("Deployment", "rtp-operator")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    budget = rendered.find("PodDisruptionBudget", "rtp-operator")["spec"]
    assert (budget["minAvailable"], budget["selector"]) == (1, deployment["selector"])
    assert deployment["template"]["spec"]["topologySpreadConstraints"][0]["maxSkew"] == 1


def test_network_policies_close_the_operator_and_its_job_but_for_their_work(render: Any) -> None:
    rendered = render({"operator.networkPolicy.enabled": True, "operator.networkPolicy.apiServerPorts": [8443]})
    operator, job = (rendered.find("NetworkPolicy", f"rtp-{name}")["spec"] for name in ("operator", "crd-upgrade"))
    assert operator["ingress"] == job["ingress"] == []
    assert operator["policyTypes"] == job["policyTypes"] == ["Ingress", "Egress"]

    def ports(spec: dict[str, Any]) -> list[tuple[str, int]]:
        return [(port["protocol"], port["port"]) for rule in spec["egress"] for port in rule["ports"]]

    assert ports(job) == [("TCP", 8443), ("UDP", 53), ("TCP", 53)]
    assert ports(operator) == [*ports(job), ("TCP", 9090)]
    labels = rendered.pod("Job", "rtp-crd-upgrade")["metadata"]["labels"]
    assert job["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_names_that_additions_may_not_have_are_those_of_the_pods(render: Any) -> None:
    text = (ROOT / "charts/rtp-pool/templates/refusals/_pods.tpl").read_text()
    own = yaml.safe_load(text.partition('"rtp-pool.ownParts" -}}\n')[2].partition("{{- end")[0])
    variables = {name for line in own["variables"] for name in line.split()}
    for values in ({}, EVERY_PART):
        rendered = render(values)
        for of, kind in HOLDERS.items():
            container = rendered.container(kind, f"rtp-{of}")
            assert {entry["name"] for entry in container["env"]} <= variables
            mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert all(any(path.startswith(folder) for folder in own["folders"]) for path in mounts)
            volumes = {volume["name"] for volume in rendered.pod(kind, f"rtp-{of}")["spec"].get("volumes", [])}
            assert volumes <= set(own["volumes"])
