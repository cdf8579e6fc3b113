"""A real Prometheus reads the release through its PodMonitors: every rule and panel has data, and an alert fires."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube import CHART, NAMESPACE, RELEASE, REPOSITORY, Kube, wait_for
from long_call import talking
from phones import Phones, end_of_call, start_call
from prometheus_pod import MONITORING, api_proxy, client, configuration, deploy, pod_url, read

from lab.base.places import find_places
from lab.base.steps import Steps
from lab.cluster.programs.builds import Programs
from lab.monitoring.definitions import definition_file
from lab.monitoring.prometheus import Prometheus
from lab.monitoring.promql import Query, name_of, queries_of, rules_of, selectors_of
from rtppool_testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CALL_SECONDS = 30
DATA_SECONDS = 27
KINDS = ("podmonitors", "prometheusrules")
OURS = "rtp-pool.test=monitoring"
NO_ECHO = {"rtppool.dev/test": "no-node"}
# With it, directions of loss have figures, and 100 round trips are enough for a verdict.
MEASURED: dict[str, dict[str, Any]] = {"echo": {"extension": True}, "sla": {"minSamples": 100}}
EXPECTED_TARGETS = {"relay": 2, "echo": 2, "operator": 2}


@dataclass(frozen=True)
class Monitored:
    """The release with PodMonitors, rules and dashboard, and Prometheus beside it."""

    prometheus: Prometheus
    dashboard: dict[str, Any]
    groups: dict[str, Any]
    proxy: str
    refusals: dict[str, str]


@dataclass(frozen=True)
class Answered:
    """During one call: queries without data at its end, and the programs' own answers."""

    missing: dict[Query, str]
    metrics: dict[str, str]


@pytest.fixture(scope="module")
def programs() -> Programs:
    places = find_places(os.environ)
    return Programs(places, Steps(places.logs))


@pytest.fixture(scope="module")
def monitored(kube: Kube, phones: Phones, programs: Programs) -> Iterator[Monitored]:
    """Switch monitoring on as an administrator does, and deploy Prometheus."""
    del phones
    clear(kube)
    refusals = {key: refusal(kube, f"metrics.{key}.enabled=true") for key in ("podMonitor", "rules")}
    spec = kube.pool()["spec"]
    before = {part: {key: spec.get(part, {}).get(key) for key in fields} for part, fields in MEASURED.items()}
    try:
        define(kube, programs)
        upgrade(kube, "true")
        kube.kubectl(*patch_pool({"spec": MEASURED}))
        deploy(kube, programs.path("prometheus"), configuration(kube, job_of_the_page()))
        (rules,) = kube.get("prometheusrules", "--namespace", NAMESPACE)["items"]
        held = kube.get("configmap", f"{RELEASE}-dashboard", "--namespace", NAMESPACE)["data"]["rtp-pool.json"]
        with api_proxy(kube, free_port()) as proxy:
            server = client(proxy)
            wait_for(lambda: server.targets() or None, "Prometheus has targets", 60)
            yield Monitored(server, json.loads(held), rules["spec"], proxy, refusals)
    finally:
        kube.kubectl(*patch_pool({"spec": before}))
        upgrade(kube, "false")
        clear(kube)


@pytest.fixture(scope="module")
def answered(kube: Kube, phones: Phones, monitored: Monitored) -> Answered:
    """Place a call, and ask every query until it has data."""
    start_call(kube, CALL_SECONDS)
    wait_for(lambda: talking(kube, phones.node), "the relay lists the call as talking", 20)
    rules = [
        Query(f"rule {name_of(rule)}", text)
        for rule in rules_of(monitored.groups)
        for text in ([rule["expr"]] if "record" in rule else selectors_of(rule["expr"]))
    ]
    missing = dict.fromkeys([*queries_of(monitored.dashboard), *rules], "no data")

    def ask() -> bool | None:
        for query in list(missing):
            if monitored.prometheus.query(query.text):
                del missing[query]
        return None if missing else True

    # The tests name the queries that are left.
    with contextlib.suppress(AssertionError):
        wait_for(ask, "every query has data", DATA_SECONDS)
    metrics = {"relay": kube.relay_http(phones.node, "/metrics")}
    for component, port in (("echo", 9091), ("operator", 9092)):
        selector = f"app.kubernetes.io/component={component}"
        pod = kube.get("pods", "--namespace", NAMESPACE, "--selector", selector)["items"][0]["metadata"]["name"]
        metrics[component] = read(f"{pod_url(monitored.proxy, NAMESPACE, pod, port)}/metrics")
    end_of_call(kube, CALL_SECONDS + 30)
    return Answered(missing, metrics)


def test_helm_refuses_objects_whose_crd_the_cluster_lacks(monitored: Monitored) -> None:
    for key, kind in (("podMonitor", "PodMonitor"), ("rules", "PrometheusRule")):
        sentence = (
            f"metrics.{key}.enabled is true, and the cluster has no CRD of {kind}; accepted is false, or true after"
        )
        assert sentence in monitored.refusals[key]


def test_prometheus_reads_every_pod_through_its_pod_monitor(monitored: Monitored) -> None:
    def up() -> dict[str, int]:
        samples = monitored.prometheus.query('count by (container) (up{job=~"rtp-pool/rtp-pool-.*", node!=""} == 1)')
        return {sample["metric"]["container"]: int(sample["value"][1]) for sample in samples}

    assert wait_for(lambda: up() if up() == EXPECTED_TARGETS else None, f"{EXPECTED_TARGETS} are up", 30)


def test_the_job_of_the_page_reads_every_annotated_pod(monitored: Monitored) -> None:
    query = 'count(up{job="rtp-pool", node!=""} == 1) == 6'
    assert wait_for(lambda: monitored.prometheus.query(query) or None, "the job has six targets", 30)


def test_every_query_of_the_dashboard_has_data(answered: Answered) -> None:
    assert [query for query in answered.missing if query.place.startswith("panel ")] == []


def test_every_rule_has_data_and_no_fault(monitored: Monitored, answered: Answered) -> None:
    assert [query for query in answered.missing if query.place.startswith("rule ")] == []
    rules = monitored.prometheus.rules()
    assert {rule["name"] for rule in rules} == {name_of(rule) for rule in rules_of(monitored.groups)}
    assert {rule["health"] for rule in rules} == {"ok"}


@pytest.mark.parametrize("component", ["relay", "echo", "operator"])
def test_promtool_finds_no_fault_in_the_metrics(programs: Programs, answered: Answered, component: str) -> None:
    command = [programs.path("promtool"), "check", "metrics"]
    done = subprocess.run(
        command, input=answered.metrics[component], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_alert_fires_while_the_echoes_are_stopped_and_clears_after(
    kube: Kube, monitored: Monitored, answered: Answered
) -> None:
    del answered
    assert firing(monitored.prometheus) == {}
    nodes = set(kube.relay_pods())
    kube.kubectl(*patch_echoes(NO_ECHO))
    try:
        found = wait_for(lambda: all_firing(monitored.prometheus, nodes), "the alert fires for both relays", 60)
    finally:
        kube.kubectl(*patch_echoes(dict.fromkeys(NO_ECHO)))
    for node, shown in found.items():
        assert shown["summary"] == f"The echo does not answer the relay on {node}, so it refuses calls."
        assert shown["runbook_url"] == "docs/runbooks.md#rtppoolechounreachable"
    wait_for(lambda: True if firing(monitored.prometheus) == {} else None, "the alert clears", 60)
    rollout = ["rollout", "status", f"daemonset/{RELEASE}-echo", "--namespace", NAMESPACE, "--timeout", "60s"]
    kube.kubectl(*rollout, seconds=70)


def firing(server: Prometheus) -> dict[str, dict[str, str]]:
    """Return the annotations of RtpPoolEchoUnreachable by node."""
    alerts = (alert for alert in server.alerts() if alert["labels"]["alertname"] == "RtpPoolEchoUnreachable")
    return {alert["labels"]["node"]: alert["annotations"] for alert in alerts if alert["state"] == "firing"}


def all_firing(server: Prometheus, nodes: set[str]) -> dict[str, dict[str, str]] | None:
    found = firing(server)
    return found if set(found) == nodes else None


def define(kube: Kube, programs: Programs) -> None:
    """Install the CRDs of Prometheus Operator."""
    for kind in KINDS:
        file = definition_file(kind, programs.places, programs.steps)
        kube.kubectl("apply", "--server-side", "--filename", str(file))
        kube.kubectl("label", "crd", f"{kind}.monitoring.coreos.com", OURS)
        kube.kubectl("wait", f"crd/{kind}.monitoring.coreos.com", "--for=condition=Established", "--timeout=30s")


def clear(kube: Kube) -> None:
    """Delete Prometheus and the CRDs that `define` installed, also those of an interrupted run."""
    kube.kubectl("delete", "namespace", MONITORING, "--ignore-not-found", "--wait", seconds=120)
    kube.kubectl("delete", "crd", "--selector", OURS)


def upgrade(kube: Kube, enabled: str) -> None:
    options = [f"--set=metrics.{part}.enabled={enabled}" for part in ("podMonitor", "rules", "dashboard")]
    words = ["upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values", *options]
    kube.helm(*words, "--wait", "--timeout", "120s")


def refusal(kube: Kube, value: str) -> str:
    """Return helm's message for a value that the cluster can't have."""
    words = ["upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values", "--set", value]
    with pytest.raises(AssertionError) as refused:
        kube.helm(*words, "--dry-run=server")
    return str(refused.value)


def patch_pool(change: dict[str, Any]) -> list[str]:
    return ["patch", "rtppool", "default", "-n", NAMESPACE, "--type=merge", "--patch", json.dumps(change)]


def patch_echoes(selector: dict[str, Any]) -> list[str]:
    change = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
    return ["patch", "daemonset", f"{RELEASE}-echo", "-n", NAMESPACE, "--patch", json.dumps(change)]


def job_of_the_page() -> dict[str, Any]:
    """Return the job for annotated pods, as docs/metrics.md shows it."""
    page = Path(REPOSITORY, "docs/metrics.md").read_text()
    (job,) = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["scrape_configs"]
    return dict(job)
