"""An upgrade of the relays under a live call, with `relay.onStop=HandOver`."""

from __future__ import annotations

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
