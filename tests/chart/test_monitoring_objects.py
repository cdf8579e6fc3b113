"""PodMonitors, the PrometheusRule and the dashboard's ConfigMap."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_values import BASE, completed, set_values

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ("relay", "echo", "operator")
MONITORED = {"metrics.podMonitor.enabled": True, "metrics.rules.enabled": True, "metrics.dashboard.enabled": True}
# Argo CD passes groups and kinds, and users write the group alone.
KINDS = (
    "--api-versions",
    "monitoring.coreos.com/v1/PodMonitor",
    "--api-versions",
    "monitoring.coreos.com/v1/PrometheusRule",
)
GROUP = ("--api-versions", "monitoring.coreos.com/v1")
TLS = {"http.tlsSecret": "rtp-tls"}


def endpoint(rendered: Any, component: str) -> dict[str, Any]:
    (only,) = rendered.find("PodMonitor", f"rtp-{component}")["spec"]["podMetricsEndpoints"]
    return dict(only)


def test_nothing_of_monitoring_is_there_by_default(defaults: Any) -> None:
    assert not {"PodMonitor", "PrometheusRule", "ConfigMap"} & {each["kind"] for each in defaults}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pod_monitor_selects_the_pods_of_its_component_and_their_port(render: Any, component: str) -> None:
    rendered = render(MONITORED, *KINDS)
    monitor = rendered.find("PodMonitor", f"rtp-{component}")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    selected = [name for name, pod in rendered.pods().items() if wanted <= pod["metadata"]["labels"].items()]
    assert selected == [f"rtp-{component}"]
    assert monitor["metadata"]["namespace"] == "voice"
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["voice"]}
    ports = {port["name"] for port in rendered.pods()[selected[0]]["spec"]["containers"][0]["ports"]}
    assert endpoint(rendered, component)["port"] in ports


@pytest.mark.parametrize(
    ("address", "target"), [("192.0.2.7", "192.0.2.7:9190"), ("2001:db8::7", "[2001:db8::7]:9190")]
)
def test_a_pod_monitor_names_the_port_that_a_relay_does_not_declare(render: Any, address: str, target: str) -> None:
    found = endpoint(render({**MONITORED, "relay.onStop": "HandOver", "relay.httpPort": 9190}, *KINDS), "relay")
    assert "port" not in found
    rules = [each for each in found["relabelings"] if each["targetLabel"] == "__address__"]
    made = [
        rule["replacement"].replace("$1", match[1]) for rule in rules if (match := re.fullmatch(rule["regex"], address))
    ]
    assert made == [target]


def test_the_relay_s_pod_monitor_alone_has_the_token(render: Any) -> None:
    rendered = render(MONITORED, *KINDS)
    assert endpoint(rendered, "relay")["authorization"] == {
        "type": "Bearer",
        "credentials": {"name": "http-token", "key": "token"},
    }
    assert not any("authorization" in endpoint(rendered, each) for each in ("echo", "operator"))
    without = render({**MONITORED, "httpToken.enabled": False}, *KINDS)
    assert "authorization" not in endpoint(without, "relay")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pod_monitor_checks_the_certificate_where_the_programs_serve_tls(render: Any, component: str) -> None:
    with_tls = endpoint(render({**MONITORED, **TLS}, *KINDS), component)
    assert with_tls["scheme"] == "https"
    assert with_tls["tlsConfig"] == {
        "ca": {"secret": {"name": "rtp-tls", "key": "ca.crt"}},
        "serverName": "rtp.voice.svc",
    }
    assert not {"scheme", "tlsConfig"} & endpoint(render(MONITORED, *KINDS), component).keys()


def test_values_set_labels_interval_and_rules_for_series(render: Any) -> None:
    drop = {"action": "drop", "sourceLabels": ["__name__"], "regex": "rtp_relay_.*_bucket"}
    values = {
        "commonLabels": {"team": "voice", "release": "mine"},
        "metrics.podMonitor.labels": {"release": "prometheus"},
        "metrics.rules.labels": {"role": "alerts"},
        "metrics.podMonitor.interval": "15s",
        "metrics.podMonitor.metricRelabelings": [drop],
    }
    rendered = render({**MONITORED, **values}, *KINDS)
    labels = rendered.find("PodMonitor", "rtp-echo")["metadata"]["labels"]
    assert (labels["team"], labels["release"]) == ("voice", "prometheus")
    assert rendered.find("PrometheusRule", "rtp")["metadata"]["labels"]["role"] == "alerts"
    assert endpoint(rendered, "echo")["interval"] == "15s"
    assert endpoint(rendered, "echo")["metricRelabelings"] == [drop]
    assert "interval" not in endpoint(render(MONITORED, *KINDS), "echo")


def test_the_rule_object_has_the_groups_of_the_file(render: Any) -> None:
    groups = yaml.safe_load((ROOT / "charts/rtp-pool/files/rules.yaml").read_text())["groups"]
    assert render(MONITORED, *KINDS).find("PrometheusRule", "rtp")["spec"] == {"groups": groups}


def test_alerts_link_to_the_runbooks_of_the_values(render: Any) -> None:
    page = "https://git.example.com/rtp-pool/docs/runbooks.md"
    groups = render({**MONITORED, "metrics.rules.runbooks": page}, *KINDS).find("PrometheusRule", "rtp")["spec"][
        "groups"
    ]
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert links
    assert all(link.startswith(f"{page}#rtppool") for link in links)


def test_the_dashboard_is_in_a_config_map_that_the_sidecar_finds(render: Any) -> None:
    found = render(MONITORED, *KINDS).find("ConfigMap", "rtp-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard = json.loads((ROOT / "charts/rtp-pool/files/dashboard.json").read_text())
    assert {name: json.loads(text) for name, text in found["data"].items()} == {"rtp-pool.json": dashboard}
    values = {
        "metrics.dashboard.label": "dashboards",
        "metrics.dashboard.labelValue": "yes",
        "metrics.dashboard.annotations": {"grafana_folder": "Telephony"},
    }
    other = render({**MONITORED, **values}, *KINDS).find("ConfigMap", "rtp-dashboard")["metadata"]
    assert (other["labels"]["dashboards"], other["annotations"]) == ("yes", {"grafana_folder": "Telephony"})


def test_the_dashboard_needs_no_prometheus_operator(render: Any) -> None:
    render({"metrics.dashboard.enabled": True}).find("ConfigMap", "rtp-dashboard")


@pytest.mark.parametrize(("key", "kind"), [("podMonitor", "PodMonitor"), ("rules", "PrometheusRule")])
def test_objects_without_their_crd_are_refused_with_a_sentence(try_to_render: Any, key: str, kind: str) -> None:
    enabled = {f"metrics.{key}.enabled": True}
    sentence = (
        f"metrics.{key}.enabled is true, and the chart renders without a cluster and without --api-versions "
        f"monitoring.coreos.com/v1/{kind}; accepted is false"
    )
    for options in ((), ("--api-versions", "monitoring.coreos.com/v1alpha1")):
        refused = try_to_render(enabled, *options)
        assert refused.returncode != 0
        assert sentence in refused.stderr
    for options in (GROUP, KINDS):
        assert try_to_render(enabled, *options).returncode == 0


def test_helm_3_renders_and_refuses_the_same(each_helm: Any, chart: Path) -> None:
    words = ("template", "rtp", chart, "--namespace", "voice", *set_values(completed(MONITORED)))
    assert "kind: PodMonitor" in each_helm(*words, *KINDS).stdout
    assert "without --api-versions" in each_helm(*words).stderr
    assert each_helm("lint", "--strict", chart, *set_values(BASE)).returncode == 0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"metrics.podMonitor.labels": {"a b": "c"}}, "metrics.podMonitor.labels has a b: c, which no label can be"),
        (
            {"metrics.rules.labels": {"app.kubernetes.io/name": "x"}},
            "metrics.rules.labels has app.kubernetes.io/name, by which the chart selects its pods",
        ),
        ({"metrics.dashboard.label": "a b"}, "metrics.dashboard has a b: 1, which no label can be"),
        ({"metrics.dashboard.annotations": {"a b": "c"}}, "metrics.dashboard.annotations has the key a b"),
        ({"metrics.podMonitor.interval": "15"}, "at '/metrics/podMonitor/interval'"),
        ({"metrics.podMonitor.metricRelabelings": [{"action": "dorp"}]}, "at '/metrics/podMonitor/metricRelabelings/0"),
    ],
)
def test_values_that_no_object_can_have_are_refused(try_to_render: Any, values: dict[str, Any], sentence: str) -> None:
    refused = try_to_render(values)
    assert refused.returncode != 0
    assert sentence in refused.stderr
