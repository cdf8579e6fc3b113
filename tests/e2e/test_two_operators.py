"""Two operators with NetworkPolicies: a rollout, a killed leader, and the connections that the policies allow.

The nodes that the lab makes join pods by a plain bridge, which enforces no NetworkPolicy. So these tests compare the
operator's connections with the rules, and a pod of another namespace shows whether the cluster enforces any.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kube import CHART, NAMESPACE, RELEASE, Kube, has_condition, wait_for
from long_call import long_call
from phones import Phones

from lab.cluster.images.product_images import image_of

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(600)]

OPERATOR = "deployment/rtp-pool-operator"
PODS = ("pods", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/component=operator")
STRANGERS = "strangers"
HTTP_PORT = 9092
PYTHON = "/opt/venv/bin/python"
ESTABLISHED = "01"
REMOTE_PORTS = (
    "for name in ('tcp', 'tcp6'):\n"
    "    for line in open('/proc/net/' + name).readlines()[1:]:\n"
    f"        words = line.split(); local, remote = (int(each.rpartition(':')[2], 16) for each in words[1:3])\n"
    f"        if words[3] == '{ESTABLISHED}' and local != {HTTP_PORT}: print(remote)\n"
)
# Prints whether each address accepts a connection.
REACH = (
    "import json, socket, sys\n"
    "def reached(address):\n"
    "    try: socket.create_connection((address, int(sys.argv[1])), 5).close()\n"
    "    except OSError: return False\n"
    "    return True\n"
    "print(json.dumps([reached(address) for address in sys.argv[2:]]))\n"
)


def upgrade(kube: Kube, *values: str) -> None:
    words = ("upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values")
    kube.helm(*words, "--set", ",".join(values), "--wait", "--timeout", "180s")


@pytest.fixture(scope="module")
def two(kube: Kube, phones: Phones) -> Iterator[Phones]:
    """Run two operators with the policies, which the Job of the second upgrade is subject to."""
    upgrade(kube, "operator.networkPolicy.enabled=true")
    upgrade(kube, "operator.replicas=2")
    wait_for(lambda: ready_operators(kube) == 2 or None, "two operators are ready", 60)
    yield phones
    upgrade(kube, "operator.networkPolicy.enabled=false")
    move(kube, 10000)
    wait_for(lambda: programmed(kube, 10000), "relays follow", 60)


def operators(kube: Kube) -> list[dict[str, Any]]:
    return [pod for pod in kube.get(*PODS)["items"] if "deletionTimestamp" not in pod["metadata"]]


def ready_operators(kube: Kube) -> int:
    conditions = [each for pod in operators(kube) for each in pod["status"]["conditions"]]
    return sum(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def leader(kube: Kube) -> str:
    holder = kube.get("lease", "rtp-pool-operator", "--namespace", "kube-system")["spec"]["holderIdentity"]
    return str(holder).removeprefix(f"{NAMESPACE}/")


def leads_one_of_them(kube: Kube) -> str | None:
    name = leader(kube)
    return name if name in {pod["metadata"]["name"] for pod in operators(kube)} else None


def move(kube: Kube, first: int) -> None:
    patch = json.dumps({"spec": {"portRange": {"start": first, "end": first + 100}}})
    kube.kubectl("patch", "rtppool", "default", "--namespace", NAMESPACE, "--type=merge", "--patch", patch)


def programmed(kube: Kube, first: int) -> dict[str, Any] | None:
    pool = has_condition(kube, "Programmed", "True")
    if pool is None or pool["status"]["summary"]["range"] != f"{first}-{first + 100}":
        raise AssertionError(f"the pool is {pool}")
    return has_condition(kube, "Ready", "True")


def test_both_are_ready_one_leads_and_one_may_be_evicted(kube: Kube, two: Phones) -> None:
    del two
    assert leads_one_of_them(kube)
    budget = wait_for(lambda: may_evict_one(kube), "one operator may be evicted", 30)
    assert (budget["currentHealthy"], budget["desiredHealthy"]) == (2, 1)


def may_evict_one(kube: Kube) -> dict[str, Any] | None:
    budget = kube.get("poddisruptionbudget", "rtp-pool-operator", "--namespace", NAMESPACE)["status"]
    return dict(budget) if budget["disruptionsAllowed"] == 1 else None


def test_a_rollout_always_has_two_ready_operators_and_an_edit_meanwhile_comes_through(kube: Kube, two: Phones) -> None:
    before = {pod["metadata"]["name"] for pod in operators(kube)}
    least: list[int] = []
    with long_call(kube, two, 40) as call:
        kube.kubectl("rollout", "restart", OPERATOR, "--namespace", NAMESPACE)
        move(kube, 12000)
        wait_for(lambda: is_rolled_out(kube, before, least), "both operators are replaced", 120)
    call.assert_whole()
    assert min(least) >= 2
    wait_for(lambda: programmed(kube, 12000), "relays run on the edited range", 60)
    assert leads_one_of_them(kube)


def is_rolled_out(kube: Kube, before: set[str], least: list[int]) -> bool | None:
    """Return True without the pods of `before`. Each poll adds the number of ready operators to `least`."""
    names = {pod["metadata"]["name"] for pod in operators(kube)}
    least.append(ready_operators(kube))
    return True if len(names) == 2 and not names & before and least[-1] == 2 else None


def test_the_other_operator_follows_a_killed_leader(kube: Kube, two: Phones) -> None:
    del two
    killed = leader(kube)
    kube.kubectl("delete", "pod", killed, "--namespace", NAMESPACE, "--grace-period=0", "--force")
    move(kube, 13000)
    wait_for(lambda: programmed(kube, 13000), "relays run on the edited range", 60)
    assert leader(kube) != killed
    wait_for(lambda: ready_operators(kube) == 2 or None, "two operators are ready again", 60)


def test_the_policies_allow_each_connection_of_the_operator(kube: Kube, two: Phones) -> None:
    del two
    policies = {each["metadata"]["name"]: each for each in kube.get("networkpolicies", "-n", NAMESPACE)["items"]}
    assert {"rtp-pool-operator", "rtp-pool-crd-upgrade"} <= set(policies)
    rules = [port for rule in policies["rtp-pool-operator"]["spec"]["egress"] for port in rule["ports"]]
    allowed = {int(each["port"]) for each in rules if each["protocol"] == "TCP"}
    found = wait_for(lambda: remote_ports(kube), "the leader is connected to the API server and to relays", 30)
    assert found <= allowed, "the operator connects to a port that its policy closes"


def remote_ports(kube: Kube) -> set[int] | None:
    """Return the remote ports of the leader's connections, once both of its peers are among them."""
    python = (PYTHON, "-c", REMOTE_PORTS)
    printed = kube.kubectl("exec", "--namespace", NAMESPACE, leader(kube), "--", *python)
    ports = {int(line) for line in printed.split()}
    return ports if 9090 in ports and ports & {443, 6443} else None


def test_a_stranger_reaches_the_operator_only_where_no_policy_is_enforced(kube: Kube, two: Phones) -> None:
    """Compare the operator with a pod whose policy closes it completely."""
    del two
    kube.kubectl("create", "namespace", STRANGERS)
    try:
        deny = {"podSelector": {}, "policyTypes": ["Ingress"]}
        policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}}
        kube.kubectl("apply", "-n", STRANGERS, "--filename", "-", input_text=json.dumps({**policy, "spec": deny}))
        run_python(kube, "closed", "-m", "http.server", str(HTTP_PORT), "--bind", "::")
        kube.kubectl("wait", "pod/closed", "-n", STRANGERS, "--for=condition=Ready", "--timeout=60s", seconds=70)
        addresses = [address_of(kube, STRANGERS, "closed"), address_of(kube, NAMESPACE, leader(kube))]
        wait_for(lambda: serves(kube), "the closed pod serves at its own address", 30)
        run_python(kube, "stranger", "-c", REACH, str(HTTP_PORT), *addresses)
        printed = wait_for(lambda: kube.kubectl("logs", "stranger", "-n", STRANGERS).strip() or None, "a result", 60)
        closed, operator = json.loads(printed)
        print(f"this cluster enforces {'no' if closed else 'each'} NetworkPolicy")
        assert operator == closed
    finally:
        kube.kubectl("delete", "namespace", STRANGERS, "--wait", seconds=120)


def run_python(kube: Kube, name: str, *words: str) -> None:
    image = ("--image", image_of("operator"), "--image-pull-policy", "Never", "--restart", "Never")
    kube.kubectl("run", name, "-n", STRANGERS, *image, "--command", "--", "/usr/local/bin/tini", "--", PYTHON, *words)


def address_of(kube: Kube, namespace: str, pod: str) -> str:
    return str(kube.get("pod", pod, "--namespace", namespace)["status"]["podIP"])


def serves(kube: Kube) -> bool | None:
    python = (PYTHON, "-c", REACH, str(HTTP_PORT), "localhost")
    return json.loads(kube.kubectl("exec", "closed", "-n", STRANGERS, "--", *python)) == [True] or None
