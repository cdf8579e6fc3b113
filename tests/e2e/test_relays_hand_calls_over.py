"""An upgrade of the relays under a live call, with `relay.onStop=HandOver`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from kube import CHART, NAMESPACE, RELEASE, Kube, has_condition, wait_for
from long_call import long_call, talking
from phones import Phones

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RELAYS = "daemonset/rtp-pool-relay"
CALL_SECONDS = 60
# Deadlines for a busy machine. docs/asterisk.md has measured values.
HANDED_OVER_WITHIN_SECONDS = 40
MAX_GAP_MILLISECONDS = 20_000
# `python -m lab.cluster handovers` prints the gaps of so many hand-overs.
HAND_OVERS = 20
CALL_SECONDS_OF_MANY = 360
PACKET_MILLISECONDS = 20


@pytest.fixture
def handing_over(kube: Kube, phones: Phones) -> Iterator[Phones]:
    """Set relays to hand over at a stop. Set them to drain afterwards."""
    stop_by(kube, "HandOver")
    yield phones
    stop_by(kube, "Drain")


def stop_by(kube: Kube, mode: str) -> None:
    words = ["upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values"]
    kube.helm(*words, "--set", f"relay.onStop={mode}", "--wait", "--timeout", "180s")
    kube.kubectl("rollout", "status", RELAYS, "--namespace", NAMESPACE, "--timeout=120s", seconds=130)
    wait_for(lambda: has_condition(kube, "AsteriskConnected", "True", "Connected"), "Asterisk is connected", 60)
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready", 60)


def adopted_alone(kube: Kube, node: str, former: str) -> dict[str, Any] | None:
    """Return the call once the pod `former` is gone and the next relay knows the call's gap."""
    pods = kube.get("pods", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/component=relay")["items"]
    on_node = [pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName") == node]
    if len(on_node) != 1 or on_node == [former]:
        raise AssertionError(f"the relay pods of the node are {on_node}")
    call = adopted(kube, node)
    return call if "gapMilliseconds" in call else None


def adopted(kube: Kube, node: str) -> dict[str, Any]:
    call = talking(kube, node)
    if call is None or not call["adopted"]:
        raise AssertionError(f"the relay has {call}")
    return call


def test_a_call_goes_on_through_a_restart_of_the_relays_and_its_gap_is_reported(
    kube: Kube, handing_over: Phones
) -> None:
    node = handing_over.node
    with long_call(kube, handing_over, CALL_SECONDS) as call:
        kube.kubectl("rollout", "restart", RELAYS, "--namespace", NAMESPACE)
        wait_for(lambda: adopted(kube, node), "the next relay has the call", HANDED_OVER_WITHIN_SECONDS)
        assert kube.relay_json(node, "/status")["calls"]["handedOver"] == 1
    record = call.record
    print(f"gap of a call that was handed over: {record['gapMilliseconds']} ms")
    assert record["endedBy"] == "callerGone", record
    assert record["port"] == call.live["port"], record
    assert 0 < record["gapMilliseconds"] < MAX_GAP_MILLISECONDS, record


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_call_goes_on_through_twenty_restarts_of_the_relays(kube: Kube, handing_over: Phones) -> None:
    node = handing_over.node
    gaps = []
    with long_call(kube, handing_over, CALL_SECONDS_OF_MANY) as call:
        for _ in range(HAND_OVERS):
            former = kube.relay_pods()[node]
            kube.kubectl("rollout", "restart", RELAYS, "--namespace", NAMESPACE)
            kube.kubectl("rollout", "status", RELAYS, "--namespace", NAMESPACE, "--timeout=120s", seconds=130)
            known = wait_for(
                lambda former=former: adopted_alone(kube, node, former), "the next relay", HANDED_OVER_WITHIN_SECONDS
            )
            gaps.append(int(known["gapMilliseconds"]))
            print(f"hand-over {len(gaps)} of {HAND_OVERS}: {gaps[-1]} ms", flush=True)
    assert call.caller is not None
    silent_ms = (len(call.caller.sent) - len(call.caller.received)) * PACKET_MILLISECONDS
    print(f"median {statistics.median(gaps):.0f} ms, worst {max(gaps)} ms of {len(gaps)} hand-overs")
    print(f"the caller missed {silent_ms} ms of sound, and the gaps are {sum(gaps)} ms")
    assert call.record["endedBy"] == "callerGone", call.record
    assert max(gaps) < MAX_GAP_MILLISECONDS
