"""One-node clusters of IPv6 and of both families: install, `helm test`, port-forward, and a SIP call.

They stand beside the cluster of `make up`, which they leave alone. Both are created and installed at the same time,
and deleted afterwards.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from kube import CHART, NAMESPACE, RELEASE, Kube, Transcript, has_condition, wait_for
from long_call import ended, talking
from phones import CallerCapture, deploy, end_of_call, payload, start_call

from lab.base.errors import LabError
from lab.base.parallel import side_by_side
from lab.base.turns import hold_lock
from lab.cluster.images.product_images import COMPONENTS, image_of
from lab.cluster.kind.shape import ONE_NODE
from lab.cluster.product import values_for
from lab.cluster.tooling import Tooling, make_tooling
from rtppool_testing.certificates import write_secret

CALL_SECONDS = 5
CREDENTIALS = "asterisk-ari"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class Family:
    """A cluster with the product, its only node, and that node's address."""

    name: str
    kube: Kube
    node: str
    address: str

    @property
    def loopback(self) -> str:
        return "[::1]" if ":" in self.address else "127.0.0.1"


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Family]]:
    """Create both clusters, install the release with an Asterisk at each node's address, and yield them Ready."""
    toolings = {name: make_tooling(name) for name in sorted(ONE_NODE)}
    any_tooling = next(iter(toolings.values()))
    lock, steps, folder = any_tooling.places.lock, any_tooling.steps, tmp_path_factory.mktemp("values")
    ready: dict[str, Family] = {}

    def bring_up(name: str, tooling: Tooling) -> None:
        tooling.cluster().down()
        tooling.nodes_up()
        ready[name] = _install(name, tooling, folder / f"{name}.json")

    try:
        with hold_lock(lock, steps.say):
            any_tooling.engine_up()
            side_by_side(steps, *(partial(bring_up, *each) for each in toolings.items()))
        yield ready
    except LabError as error:
        pytest.fail(str(error))
    finally:
        with hold_lock(lock, steps.say):
            side_by_side(steps, *(tooling.cluster().down for tooling in toolings.values()))


@pytest.fixture(params=sorted(ONE_NODE))
def family(request: pytest.FixtureRequest, families: dict[str, Family]) -> Family:
    """Return the cluster of each family."""
    return families[request.param]


def _install(name: str, tooling: Tooling, values: Path) -> Family:
    kubectl, helm = tooling.programs.path("kubectl"), tooling.programs.path("helm")
    arguments = (tuple(tooling.target.kubectl_arguments()), tuple(tooling.target.helm_arguments()))
    kube = Kube(str(kubectl), str(helm), *arguments, Transcript())
    (node,) = kube.get("nodes")["items"]
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    family = Family(name, kube, node["metadata"]["name"], address)
    phones = deploy(kube, family.node, ipv6=True)
    kube.kubectl("create", "namespace", NAMESPACE)
    credentials = ("--from-literal", f"username={phones.user}", "--from-literal", f"password={phones.password}")
    kube.kubectl("create", "secret", "generic", CREDENTIALS, "--namespace", NAMESPACE, *credentials)
    images = {component: tooling.docker.image_id(image_of(component)) or "" for component in COMPONENTS}
    ari = {"ari": {"url": "http://$(NODE_IP):8088/ari", "existingSecret": CREDENTIALS}}
    values.write_text(json.dumps(values_for(images) | ari))
    words = ["install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", str(values)]
    kube.helm(*words, "--wait", "--timeout", "180s")
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready", 60)
    wait_for(lambda: has_condition(kube, "AsteriskConnected", "True"), "Asterisk is connected", 30)
    return family


def test_the_node_has_the_cluster_s_family(family: Family) -> None:
    node = family.kube.get("node", family.node)
    families = {":" in subnet for subnet in node["spec"]["podCIDRs"]}
    assert families == ({True} if family.name == "ipv6" else {True, False})


def test_helm_test_sends_its_packets(family: Family) -> None:
    output = family.kube.helm("test", RELEASE, "--namespace", NAMESPACE, "--logs", "--timeout", "120s")
    own = re.escape(f"{family.loopback}:4000")
    assert re.search(rf"ok +node {family.node}: to the node's own echo at {own}: sent 10, returned 10", output)
    assert re.search(rf"ok +node {family.node}: through the relay to the echo at \S+: sent 10, returned 10", output)


def test_relay_and_echo_are_of_the_node_s_family(family: Family) -> None:
    status = family.kube.relay_json(family.node, "/status")
    assert status["echo"]["resolvedAddress"] == f"{family.loopback}:4000"
    assert [finding for finding in status["preflight"] if finding["code"] == "AddressFamilies"] == []


@pytest.mark.parametrize(("component", "port"), [("echo", 9091), ("relay", 9090), ("operator", 9092)])
def test_a_port_forward_reaches_each_pod(family: Family, component: str, port: int) -> None:
    kube = family.kube
    selector = f"app.kubernetes.io/component={component}"
    for pod in kube.get("pods", "--namespace", NAMESPACE, "--selector", selector)["items"]:
        assert is_healthy_by_port_forward(kube, pod["metadata"]["name"], port)


def is_healthy_by_port_forward(kube: Kube, pod: str, port: int) -> bool:
    words = ["port-forward", "--namespace", NAMESPACE, f"pod/{pod}", f":{port}"]
    command = [kube.kubectl_path, *kube.kubectl_arguments, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
            assert found is not None
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/health", timeout=20) as answer:
                return json.load(answer)["healthy"] is True
        finally:
            forward.terminate()


def test_a_call_gets_its_own_voice_back(family: Family) -> None:
    kube = family.kube
    start_call(kube, CALL_SECONDS, family.loopback)
    live = wait_for(lambda: talking(kube, family.node), "the relay lists the call as talking", 20)
    caller = end_of_call(kube, CALL_SECONDS + 30)
    record = wait_for(lambda: ended(kube, family.node, 0), "the call's record", 10)
    _check_voice(caller, record)
    assert live["asterisk"].startswith(f"[{family.address}]:" if ":" in family.address else f"{family.address}:")


@pytest.mark.parametrize("family", ["dual"], indirect=True)
def test_the_notes_warn_in_a_namespace_that_refuses_the_pods(family: Family) -> None:
    kube = family.kube
    kube.kubectl("create", "namespace", "guarded")
    kube.kubectl("label", "namespace", "guarded", "pod-security.kubernetes.io/enforce=baseline")
    words = ["install", "other", str(CHART), "--namespace", "guarded", "--set", "image.pullPolicy=Never"]
    notes = kube.helm(*words, "--dry-run=server").partition("NOTES:")[2]
    assert "WARNING: namespace guarded enforces the Pod Security level baseline" in notes
    assert "kubectl label namespace guarded pod-security.kubernetes.io/enforce=privileged" in notes


@pytest.mark.parametrize("family", ["dual"], indirect=True)
def test_probes_operator_and_helm_test_follow_to_tls(family: Family, tmp_path: Path) -> None:
    """Runs last on its cluster, because the other tests ask over plain HTTP."""
    kube = family.kube
    write_secret(trustme.CA(), f"{RELEASE}.{NAMESPACE}.svc", tmp_path)
    files = [f"--from-file={tmp_path / name}" for name in ("tls.crt", "tls.key", "ca.crt")]
    kind = ("--type", "kubernetes.io/tls")
    kube.kubectl("create", "secret", "generic", "rtp-tls", "--namespace", NAMESPACE, *kind, *files)
    words = ["upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values"]
    kube.helm(*words, "--set", "http.tlsSecret=rtp-tls", "--wait", "--timeout", "180s")
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready over TLS", 60)
    output = kube.helm("test", RELEASE, "--namespace", NAMESPACE, "--logs", "--timeout", "120s")
    assert "sent 10, returned 10" in output


def _check_voice(caller: CallerCapture, record: dict[str, Any]) -> None:
    sent, returned = [[payload(each) for each in way] for way in (caller.sent, caller.received)]
    assert len(sent) >= CALL_SECONDS * 50 * 0.9
    assert len(returned) >= len(sent) * 0.97
    assert sum(voice in set(sent) for voice in returned) >= len(returned) * 0.99
    assert record["figures"]["answered"] >= len(sent) * 0.95
