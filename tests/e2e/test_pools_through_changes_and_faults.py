"""Pools on several nodes, edits under a live call, and faults of the cluster.

Every scenario restores the default pool: 10000-10100 with each node's own echo.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from kube import CHART, NAMESPACE, RELEASE, Kube, has_condition, message, wait_for
from long_call import long_call, talking
from phones import Phones

from lab.base.errors import LabError
from lab.cluster.tooling import make_tooling

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LABEL = "rtp-pool-test/edge"
RIVALS = "rivals"
OPERATOR = "deployment/rtp-pool-operator"
OPERATOR_PODS = "app.kubernetes.io/component=operator"
# Longer than the operator's lease.
STOPPED_SECONDS = (25, pytest.param(60, marks=pytest.mark.full))
CRD = "rtppools.rtppool.dev"


def apply_pool(kube: Kube, name: str, spec: dict[str, Any], namespace: str = NAMESPACE) -> None:
    manifest = {
        "apiVersion": "rtppool.dev/v1alpha1",
        "kind": "RtpPool",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    words = ["apply", "--server-side", "--force-conflicts", "--filename", "-"]
    kube.kubectl(*words, input_text=json.dumps(manifest))


def spec_of(first: int, last: int, **more: Any) -> dict[str, Any]:
    return {"portRange": {"start": first, "end": last}, "echo": {"host": "127.0.0.1", "port": 4000}, **more}


def ranges(kube: Kube) -> dict[str, str]:
    return {node: kube.relay_json(node, "/status")["ports"]["range"] for node in kube.relay_pods()}


def until_ranges(kube: Kube, wanted: dict[str, str], seconds: float = 60) -> None:
    def probe() -> bool:
        found = ranges(kube)
        if found != wanted:
            raise AssertionError(f"relays run on {found}")
        return True

    wait_for(probe, f"relays run on {wanted}", seconds)


def kill_operator(kube: Kube) -> None:
    kube.kubectl("delete", "pod", "--namespace", NAMESPACE, "--selector", OPERATOR_PODS, "--wait=false")


def stop_operator(kube: Kube) -> None:
    kube.kubectl("scale", OPERATOR, "--namespace", NAMESPACE, "--replicas=0")
    gone = ("--selector", OPERATOR_PODS, "--for=delete", "--timeout=60s")
    kube.kubectl("wait", "pod", "--namespace", NAMESPACE, *gone, seconds=70)


@pytest.fixture
def usual(kube: Kube, phones: Phones) -> Iterator[Phones]:
    """Restore the default pool on both nodes before and after the test."""
    everywhere = dict.fromkeys(kube.relay_pods(), "10000-10100")
    apply_pool(kube, "default", spec_of(10000, 10100))
    until_ranges(kube, everywhere)
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the default pool is Ready", 60)
    yield phones
    apply_pool(kube, "default", spec_of(10000, 10100))
    until_ranges(kube, everywhere)


@pytest.fixture
def edge_node(kube: Kube, usual: Phones) -> Iterator[str]:
    """Label the worker without the caller for a pool of its own. Remove label, pools and namespace afterwards."""
    node = next(node for node in sorted(kube.relay_pods()) if node != usual.node)
    kube.kubectl("label", "node", node, f"{LABEL}=yes", "--overwrite")
    yield node
    kube.kubectl("delete", "rtppool", "edge", "rival", "--namespace", NAMESPACE, "--ignore-not-found")
    kube.kubectl("delete", "namespace", RIVALS, "--ignore-not-found", "--wait", seconds=120)
    kube.kubectl("label", "node", node, f"{LABEL}-")


@pytest.mark.parametrize(
    "operator_dies",
    [
        pytest.param(False, marks=pytest.mark.full, id="operator stays"),
        pytest.param(True, id="operator dies at each step"),
    ],
)
def test_a_pool_for_one_node_beside_the_default_one_is_contested_and_handed_over(
    kube: Kube, usual: Phones, edge_node: str, operator_dies: bool
) -> None:
    def step() -> None:
        if operator_dies:
            kill_operator(kube)

    here = usual.node
    apply_pool(kube, "edge", spec_of(13000, 13010, nodeSelector={LABEL: "yes"}))
    step()
    until_ranges(kube, {here: "10000-10100", edge_node: "13000-13010"})
    edge = wait_for(lambda: has_condition(kube, "Ready", "True", name="edge"), "the edge pool is Ready", 60)
    assert [relay["nodeName"] for relay in edge["status"]["relays"]] == [edge_node]

    kube.kubectl("create", "namespace", RIVALS)
    apply_pool(kube, "stranger", spec_of(15000, 15010, nodeSelector={LABEL: "yes"}), RIVALS)
    apply_pool(kube, "rival", spec_of(14000, 14010, nodeSelector={LABEL: "yes"}))
    step()
    stranger = wait_for(
        lambda: has_condition(kube, "Accepted", "False", "NamespaceNotHonoured", name="stranger", namespace=RIVALS),
        "the pool of another namespace is not honoured",
        60,
    )
    assert "operator.poolNamespaces" in message(stranger, "Accepted")
    rival = wait_for(lambda: has_condition(kube, "Conflicted", "True", name="rival"), "the rival is in conflict", 60)
    assert "edge" in message(rival, "Conflicted")
    wait_for(lambda: names_rival(kube), "the edge pool names the rival", 60)
    until_ranges(kube, {here: "10000-10100", edge_node: "13000-13010"})

    kube.kubectl("delete", "rtppool", "edge", "--namespace", NAMESPACE)
    step()
    until_ranges(kube, {here: "10000-10100", edge_node: "14000-14010"})
    wait_for(lambda: has_condition(kube, "Ready", "True", name="rival"), "the rival has the node", 60)

    kube.kubectl("delete", "rtppool", "rival", "--namespace", NAMESPACE)
    step()
    until_ranges(kube, {here: "10000-10100", edge_node: "10000-10100"})


def test_a_range_shrinks_under_a_live_call_and_the_pool_counts_it_until_it_ends(kube: Kube, usual: Phones) -> None:
    with long_call(kube, usual, 30) as call:
        port = int(call.live["port"])
        apply_pool(kube, "default", spec_of(port + 1, port + 20))
        kill_operator(kube)
        pool = wait_for(lambda: has_condition(kube, "Draining", "True"), "the pool drains", 25)
        assert "1 call" in message(pool, "Draining")
        assert pool["status"]["activeCalls"] == 1
    call.assert_whole()
    wait_for(lambda: has_condition(kube, "Draining", "False"), "the drain is over", 30)


@pytest.mark.parametrize("seconds", STOPPED_SECONDS)
def test_while_the_api_server_stands_still_no_packet_is_lost(kube: Kube, usual: Phones, seconds: int) -> None:
    node = control_plane(kube)
    with long_call(kube, usual, seconds + 30) as call:
        on_node(node, "pkill -STOP -x kube-apiserver")
        try:
            time.sleep(seconds)
        finally:
            on_node(node, "pkill -CONT -x kube-apiserver")
        wait_for(lambda: talking(kube, usual.node), "the API server answers again and the call goes on", 25)
    call.assert_whole()
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready again", 90)
    operator = kube.get("pods", "--namespace", NAMESPACE, "--selector", OPERATOR_PODS)["items"]
    assert sum(each["status"]["containerStatuses"][0]["restartCount"] for each in operator) == 0


def test_a_node_is_drained_with_the_operator_on_it_and_its_call_goes_on(kube: Kube, usual: Phones) -> None:
    with long_call(kube, usual, 40) as call:
        try:
            # The caller is a bare pod of this test; a user's phone is not in the cluster.
            kube.kubectl(
                "drain", usual.node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s",
                f"--pod-selector={OPERATOR_PODS}", seconds=70,
            )  # fmt: skip
            kube.kubectl("rollout", "status", OPERATOR, "--namespace", NAMESPACE, "--timeout=60s", seconds=70)
            wait_for(lambda: talking(kube, usual.node), "the call goes on", 10)
        finally:
            kube.kubectl("uncordon", usual.node)
    call.assert_whole()
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready", 60)


def test_a_pool_deleted_while_the_operator_is_down_goes_at_once_is_made_again_and_cuts_no_call(
    kube: Kube, usual: Phones
) -> None:
    deleted = kube.pool()["metadata"]["uid"]
    with long_call(kube, usual, 60) as call:
        stop_operator(kube)
        kube.kubectl("delete", "rtppool", "default", "--namespace", NAMESPACE, "--wait", "--timeout=10s", seconds=15)
        assert talking(kube, usual.node)
        kube.kubectl("scale", OPERATOR, "--namespace", NAMESPACE, "--replicas=2")
        wait_for(lambda: on_other_pool(kube, deleted), "relays run on the pool that the operator has made", 60)
    call.assert_whole()


def upgrade_release(kube: Kube) -> None:
    words = ["upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values", "--wait"]
    kube.helm(*words, "--timeout", "180s")


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(upgrade_release, id="upgrade of the release"),
        pytest.param(kill_operator, id="start of the operator"),
    ],
)
def test_a_definition_older_than_the_chart_is_upgraded_and_a_pool_may_use_what_is_new(
    kube: Kube, usual: Phones, happens: Callable[[Kube], None]
) -> None:
    del usual
    older = yaml.safe_load((CHART / "files/rtppools.yaml").read_text())
    older["metadata"]["annotations"]["rtppool.dev/crd-revision"] = "1"
    spec = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["echo"]["properties"]["extension"]
    kube.kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", input_text=json.dumps(older))
    newer = spec_of(10000, 10100)
    newer["echo"]["extension"] = True
    wait_for(lambda: refused_field(kube, newer), "the older definition does not know echo.extension", 20)
    happens(kube)
    wait_for(lambda: apply_pool(kube, "default", newer) or True, "the upgraded definition takes echo.extension", 30)
    assert kube.pool()["spec"]["echo"]["extension"] is True
    wait_for(lambda: has_condition(kube, "Programmed", "True"), "relays follow", 30)


def test_a_definition_deleted_while_the_operator_is_down_is_made_again_and_so_is_the_default_pool(
    kube: Kube, usual: Phones
) -> None:
    del usual
    deleted = kube.pool()["metadata"]["uid"]
    stop_operator(kube)
    kube.kubectl("delete", "crd", CRD, "--wait", "--timeout=30s", seconds=40)
    kube.kubectl("scale", OPERATOR, "--namespace", NAMESPACE, "--replicas=2")
    wait_for(lambda: on_other_pool(kube, deleted), "relays run on the pool that the operator has made", 60)
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the default pool is Ready", 60)


def refused_field(kube: Kube, spec: dict[str, Any]) -> bool | None:
    manifest = {
        "apiVersion": "rtppool.dev/v1alpha1",
        "kind": "RtpPool",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": spec,
    }
    words = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-"]
    text = kube.refusal(*words, input_text=json.dumps(manifest))
    return True if "extension" in text else None


def names_rival(kube: Kube) -> bool | None:
    pool = has_condition(kube, "Conflicted", "False", "Preferred", name="edge") or {}
    text = message(pool, "Conflicted")
    if f"{NAMESPACE}/rival" not in text:
        raise AssertionError(f"the message is {text}")
    return True


def on_other_pool(kube: Kube, deleted: str) -> bool | None:
    reports = {node: kube.relay_json(node, "/status").get("pool") for node in kube.relay_pods()}
    if not all(pool and pool["uid"] != deleted for pool in reports.values()):
        raise AssertionError(f"relays run on {reports}")
    return True


def control_plane(kube: Kube) -> str:
    """Return the container of the control plane. Only a cluster of `make up` may be stopped."""
    target = make_tooling().target
    if not target.own:
        pytest.skip("not a cluster of make up: its API server keeps running")
    nodes = kube.get("nodes", "--selector", "node-role.kubernetes.io/control-plane")["items"]
    return str(nodes[0]["metadata"]["name"])


def on_node(node: str, script: str) -> None:
    command = ["docker", "exec", node, "sh", "-c", script]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if answer.returncode != 0:
        raise LabError(f"{' '.join(command)} ended with {answer.returncode}: {answer.stderr}")
