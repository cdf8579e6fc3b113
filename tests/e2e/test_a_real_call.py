"""helm install, a SIP call through Asterisk, kubectl apply and helm upgrade.

Each fixture does one step on the cluster and keeps the result. The tests that use it assert on the result.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kube import CHART, NAMESPACE, RELEASE, REPOSITORY, Kube, conditions, has_condition, message, wait_for
from long_call import ended, talking
from phones import CallerCapture, Phones, end_of_call, payload, run_in_asterisk, start_call
from prometheus_client.parser import text_string_to_metric_families
from release import Misconfigured

CALL_SECONDS = 12
SECOND_RANGE = (12000, 12010)
FOLLOW_SECONDS = 10

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class CallRun:
    """One call: the relay's and the pool's view while it talked and after it hung up."""

    caller: CallerCapture
    live: dict[str, Any]
    metrics: str
    pool_during: dict[str, Any]
    record: dict[str, Any]
    status_after: dict[str, Any]
    asterisk_after: str


@dataclass(frozen=True, slots=True)
class Edited:
    """The result of `kubectl apply` with another range and echo."""

    followed_after_seconds: float
    pool: dict[str, Any]
    echo_node: str


@pytest.fixture(scope="module")
def first_call(kube: Kube, phones: Phones) -> CallRun:
    """Place a call of 12 s."""
    return _call(kube, phones, "This is the pool during a SIP call:")


@pytest.fixture(scope="module")
def edited(kube: Kube, phones: Phones, first_call: CallRun) -> Edited:
    """Change the range, and use the echo of the other worker."""
    del first_call
    other = next(node for node in kube.relay_pods() if node != phones.node)
    host = next(
        address["address"]
        for address in kube.get("node", other)["status"]["addresses"]
        if address["type"] == "InternalIP"
    )
    manifest = {
        "apiVersion": "rtppool.dev/v1alpha1",
        "kind": "RtpPool",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {
            "portRange": {"start": SECOND_RANGE[0], "end": SECOND_RANGE[1]},
            "echo": {"host": host, "port": 4000, "extension": True},
        },
    }
    kube.transcript.write("An edit selects another range, another node's echo, and the header extension:")
    started = time.monotonic()
    output = kube.kubectl(
        "apply", "--server-side", "--force-conflicts", "--filename", "-", input_text=json.dumps(manifest)
    )
    pool = wait_for(lambda: _programmed(kube, "12000-12010"), "all relays run on 12000-12010", 30)
    followed = time.monotonic() - started
    kube.transcript.show("kubectl apply --server-side --force-conflicts -f pool.yaml", output)
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready again", 30)
    kube.show("kubectl get rtppools -n rtp-pool -o wide", "get", "rtppools", "-n", NAMESPACE, "-o", "wide")
    return Edited(followed, pool, host)


@pytest.fixture(scope="module")
def second_call(kube: Kube, phones: Phones, edited: Edited) -> CallRun:
    """Place a call on the edited pool."""
    del edited
    return _call(kube, phones, "A second call uses the new range:")


@pytest.fixture(scope="module")
def upgraded(kube: Kube, second_call: CallRun) -> dict[str, Any]:
    """Run `helm upgrade` without a change and return the pool."""
    del second_call
    before = kube.relay_pods()
    words = ["upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values", "--wait"]
    kube.helm(*words, "--timeout", "180s")
    kube.transcript.write("An upgrade without changes keeps the edit and the pods:")
    kube.transcript.show(
        "helm upgrade rtp-pool charts/rtp-pool -n rtp-pool --reset-then-reuse-values --wait | head -n 1",
        f'Release "{RELEASE}" has been upgraded. Happy Helming!',
    )
    kube.show("kubectl get rtppools -n rtp-pool -o wide", "get", "rtppools", "-n", NAMESPACE, "-o", "wide")
    assert kube.relay_pods() == before, "an unchanged upgrade restarted relays"
    return kube.pool()


def test_a_fresh_install_is_ready_by_the_probe_alone(installed: dict[str, Any]) -> None:
    found = conditions(installed)
    assert found["Ready"][0] == "True"
    assert found["AsteriskConnected"][1] == "NotConfigured"
    assert found["SLAMet"] == ("Unknown", "NoCalls")


def test_a_fresh_install_shows_the_probe_s_latency_as_the_probe_s(installed: dict[str, Any]) -> None:
    status = installed["status"]
    assert "calls" not in status["latency"]
    assert status["latency"]["probe"]["p99Microseconds"] > 0
    assert status["summary"]["p99"].endswith("ms (probe)")


def test_a_fresh_install_has_a_relay_and_its_ports_on_both_workers(kube: Kube, installed: dict[str, Any]) -> None:
    assert len(kube.relay_pods()) == 2
    assert installed["status"]["capacity"]["total"] == 202


def test_the_chart_s_own_test_sends_packets(kube: Kube, installed: dict[str, Any]) -> None:
    del installed
    output = kube.helm("test", RELEASE, "--namespace", NAMESPACE, "--logs", "--timeout", "60s")
    for node in kube.relay_pods():
        for way in ("through the relay to the echo", "to the node's own echo"):
            assert re.search(rf"ok +node {node}: {way} at \S+: sent 10, returned 10", output)
    kube.transcript.write("The chart's own test has every node send packets:")
    kube.transcript.show("helm test rtp-pool -n rtp-pool --logs", output)


def test_an_asterisk_that_is_not_there_is_the_pool_s_condition_in_a_sentence(misconfigured: Misconfigured) -> None:
    text = message(misconfigured.absent, "AsteriskConnected")
    assert "0 of 2 relays are connected to Asterisk" in text
    assert "ARI_URL=http://127.0.0.1:8088/ari can't be connected" in text
    assert conditions(misconfigured.absent)["Ready"][0] == "False"


def test_a_refused_password_is_the_pool_s_condition_in_a_sentence(misconfigured: Misconfigured) -> None:
    text = message(misconfigured.refused, "AsteriskConnected")
    assert "ARI_USER=relay with its password is refused" in text
    assert "not the password" not in text


def test_asterisk_is_connected_on_both_workers(kube: Kube, phones: Phones) -> None:
    del phones
    for node in kube.relay_pods():
        assert kube.relay_json(node, "/status")["ari"]["state"] == "Connected"


def test_the_contract_holds_for_this_asterisk(kube: Kube, phones: Phones) -> None:
    host = kube.get("node", phones.node)["status"]["addresses"][0]["address"]
    variables = {
        **os.environ,
        "ARI_CONTRACT_URL": f"http://{host}:8088/ari",
        "ARI_CONTRACT_USER": phones.user,
        "ARI_CONTRACT_PASS": phones.password,
    }
    command = [sys.executable, "-m", "pytest", "-q", "tests/contract/test_ari_contract.py"]
    answer = subprocess.run(
        command, env=variables, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_caller_gets_its_own_voice_back(first_call: CallRun) -> None:
    sent = [payload(packet) for packet in first_call.caller.sent]
    returned = [payload(packet) for packet in first_call.caller.received]
    assert len(sent) >= CALL_SECONDS * 50 * 0.95
    assert len(returned) >= len(sent) * 0.97
    own = set(sent)
    assert sum(voice in own for voice in returned) >= len(returned) * 0.99


def test_the_live_call_is_listed_with_its_port_and_figures(first_call: CallRun) -> None:
    assert first_call.live["state"] == "talking"
    assert 10000 <= first_call.live["port"] <= 10100
    assert first_call.live["callerNumber"] == "********56"
    assert first_call.live["sipCallId"]
    assert first_call.live["figures"]["packets"] > 0
    assert first_call.live["figures"]["p99Microseconds"] > 0


def test_the_record_of_the_ended_call_has_all_its_packets(first_call: CallRun) -> None:
    figures = first_call.record["figures"]
    assert figures["packets"] >= len(first_call.caller.sent) * 0.97
    assert figures["answered"] >= figures["packets"] * 0.99
    assert first_call.record["endedBy"] == "callerGone"


def test_prometheus_reads_the_call_s_packets(first_call: CallRun) -> None:
    samples = [sample for family in text_string_to_metric_families(first_call.metrics) for sample in family.samples]
    packets = sum(
        sample.value
        for sample in samples
        if sample.name == "rtp_relay_sent_packets_total" and sample.labels.get("stream") == "calls"
    )
    assert packets > 0
    assert not [sample for sample in samples if "call" in sample.labels or "ssrc" in sample.labels]


def test_the_pool_shows_the_call_the_ports_left_and_the_measured_p99(first_call: CallRun) -> None:
    status = first_call.pool_during["status"]
    assert status["activeCalls"] == 1
    assert status["capacity"]["free"] == 201
    assert status["latency"]["calls"]["p99Microseconds"] > 0
    assert status["summary"]["p99"].endswith("ms")
    assert conditions(first_call.pool_during)["Ready"][0] == "True"


def test_hanging_up_leaves_no_channel_no_bridge_and_no_leased_port(first_call: CallRun) -> None:
    assert "0 active channels" in first_call.asterisk_after
    assert "rtp_" not in first_call.asterisk_after
    assert first_call.status_after["ports"]["leased"] == 0
    assert first_call.status_after["calls"]["active"] == 0


def test_the_status_follows_an_edit_within_ten_seconds(edited: Edited) -> None:
    assert edited.followed_after_seconds <= FOLLOW_SECONDS


def test_the_next_call_uses_the_new_range_and_the_new_echo(
    kube: Kube, phones: Phones, edited: Edited, second_call: CallRun
) -> None:
    assert SECOND_RANGE[0] <= second_call.live["port"] <= SECOND_RANGE[1]
    assert kube.relay_json(phones.node, "/status")["echo"]["resolvedAddress"] == f"{edited.echo_node}:4000"
    assert len(second_call.caller.received) >= len(second_call.caller.sent) * 0.97


def test_with_the_header_extension_asterisk_and_caller_see_their_own_bytes(second_call: CallRun) -> None:
    own = {payload(packet) for packet in second_call.caller.sent}
    returned = [payload(packet) for packet in second_call.caller.received]
    assert sum(voice in own for voice in returned) >= len(returned) * 0.99


def test_with_the_header_extension_the_echo_s_own_time_is_taken_out_of_the_round_trip(second_call: CallRun) -> None:
    figures = second_call.record["figures"]
    assert figures["directedLoss"] == {"toEcho": 0, "fromEcho": 0, "undetermined": 0}
    assert 0 < figures["echoResidenceP99Microseconds"] <= figures["maxMicroseconds"]
    assert 0 < figures["networkP50Microseconds"] <= figures["p50Microseconds"]


def test_a_call_s_record_tells_bursts_delay_variation_and_the_estimates(first_call: CallRun) -> None:
    figures = first_call.record["figures"]
    assert figures["bursts"]["bursts"] == 0
    assert figures["pdvMicroseconds"] > 0
    assert 1 < figures["estimatedMos"] < 4.5
    assert "directedLoss" not in figures


def test_departures_are_stamped_on_the_nodes_and_their_error_is_published(
    kube: Kube, phones: Phones, second_call: CallRun
) -> None:
    del second_call
    clock = kube.relay_json(phones.node, "/status")["clock"]
    assert clock["stamps"] == "kernel"
    assert clock["departureError"]["samples"] > 0


def test_an_unchanged_upgrade_keeps_the_edit(upgraded: dict[str, Any], edited: Edited) -> None:
    assert upgraded["spec"]["portRange"] == {"start": SECOND_RANGE[0], "end": SECOND_RANGE[1]}
    assert upgraded["spec"]["echo"]["host"] == edited.echo_node


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples/invalid").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_invalid_object_is_refused_by_the_api_server_with_the_expected_sentence_for_its_field(
    kube: Kube, installed: dict[str, Any], path: Path
) -> None:
    del installed
    text = path.read_text()
    sentence, field = text.splitlines()[:2]
    refusal = kube.refusal("apply", "--namespace", NAMESPACE, "--dry-run=server", "--filename", "-", input_text=text)
    assert sentence.removeprefix("# Expected: ") in refusal
    assert field.removeprefix("# Field: ") in refusal


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples/valid").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_valid_example_is_accepted_by_the_api_server(kube: Kube, installed: dict[str, Any], path: Path) -> None:
    del installed
    kube.kubectl("apply", "--namespace", NAMESPACE, "--dry-run=server", "--filename", str(path))


def _call(kube: Kube, phones: Phones, title: str) -> CallRun:
    before = len(kube.relay_json(phones.node, "/calls")["recent"])
    start_call(kube, CALL_SECONDS)
    live = wait_for(lambda: talking(kube, phones.node), "the relay lists the call as talking", 20)
    pool = wait_for(lambda: _shows_call(kube), "the pool shows the call and its p99", CALL_SECONDS - 2)
    kube.transcript.write(title)
    kube.show("kubectl get rtppools -n rtp-pool -o wide", "get", "rtppools", "-n", NAMESPACE, "-o", "wide")
    live = talking(kube, phones.node) or live
    metrics = kube.relay_http(phones.node, "/metrics")
    status = kube.kubectl("get", "rtppool", "default", "-n", NAMESPACE, "-o", "yaml")
    kube.transcript.show("kubectl get rtppool default -n rtp-pool -o yaml", status)
    caller = end_of_call(kube, CALL_SECONDS + 30)
    record = wait_for(lambda: ended(kube, phones.node, before), "the call's record", 10)
    after = run_in_asterisk(kube, phones.node, "core show channels") + run_in_asterisk(
        kube, phones.node, "bridge show all"
    )
    return CallRun(caller, live, metrics, pool, record, kube.relay_json(phones.node, "/status"), after)


def _shows_call(kube: Kube) -> dict[str, Any] | None:
    pool = kube.pool()
    status = pool["status"]
    seen = status["activeCalls"] == 1 and "calls" in status.get("latency", {})
    return pool if seen else None


def _programmed(kube: Kube, wanted: str) -> dict[str, Any] | None:
    pool = has_condition(kube, "Programmed", "True")
    ranges = {node: kube.relay_json(node, "/status")["ports"]["range"] for node in kube.relay_pods()}
    if set(ranges.values()) != {wanted}:
        raise AssertionError(f"relays run on {ranges}")
    return pool
