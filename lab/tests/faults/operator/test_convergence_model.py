"""The model of convergence detects every difference."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from lab.faults.operator.relays.fake_relay import FakeRelay
from lab.faults.operator.rig.converged import Snapshot, differences, owners
from rtppool_core.contract.pools_file import PoolEntry
from rtppool_core.contract.port_range import PortRange

CONDITIONS = {
    "Accepted": "True",
    "Conflicted": "False",
    "Programmed": "True",
    "EchoReachable": "True",
    "Ready": "True",
}


def made(name: str, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "voice",
            "name": name,
            "uid": f"uid-{name}",
            "generation": 2,
            "creationTimestamp": created,
        },
        "spec": {"portRange": {"start": 10000, "end": 10010}, **spec},
    }


@pytest.fixture
def standing() -> Snapshot:
    """Return one pool and one relay, converged."""
    pool = made("p")
    pool["status"] = {
        "observedGeneration": 2,
        "appliedGeneration": 2,
        "relayCount": 1,
        "activeCalls": 0,
        "relays": [{"podName": "relay-a-1"}],
        "conditions": [
            {"type": kind, "status": status, "observedGeneration": 2} for kind, status in CONDITIONS.items()
        ],
    }
    entry = PoolEntry("p", "voice", "uid-p", 2, (), PortRange(10000, 10010))
    relay = FakeRelay("relay-a-1", "a", "127.0.1.1", entry=entry)
    config = {"version": 1, "pools": [{"uid": "uid-p", "generation": 2, "nodes": [{"name": "a"}]}]}
    return Snapshot([pool], {"a": {}}, [relay], json.dumps(config))


def test_what_stands_has_no_differences(standing: Snapshot) -> None:
    assert differences(standing) == []


@pytest.mark.parametrize("name", ["observedGeneration", "appliedGeneration", "relayCount", "relays", "conditions"])
def test_a_status_without_a_part_is_seen(standing: Snapshot, name: str) -> None:
    pool = copy.deepcopy(standing.pools[0])
    del pool["status"][name]
    assert differences(Snapshot([pool], standing.labels, standing.relays, standing.config))


@pytest.mark.parametrize("kind", CONDITIONS)
def test_a_condition_that_lies_is_seen(standing: Snapshot, kind: str) -> None:
    pool = copy.deepcopy(standing.pools[0])
    found = next(each for each in pool["status"]["conditions"] if each["type"] == kind)
    found["status"] = {"True": "False", "False": "True"}[found["status"]]
    assert differences(Snapshot([pool], standing.labels, standing.relays, standing.config))


@pytest.mark.parametrize("config", [None, "", "{}", '{"pools": []}', '{"pools": [{"uid": "x"}]}'])
def test_a_configuration_of_somebody_else_is_seen(standing: Snapshot, config: str | None) -> None:
    assert differences(Snapshot(standing.pools, standing.labels, standing.relays, config))


def test_a_relay_that_runs_something_else_is_seen(standing: Snapshot) -> None:
    other = FakeRelay("relay-a-1", "a", "127.0.1.1")
    assert differences(Snapshot(standing.pools, standing.labels, [other], standing.config))


def test_ready_over_a_relay_that_is_not_heard_is_seen(standing: Snapshot) -> None:
    silent = [copy.copy(relay) for relay in standing.relays]
    for relay in silent:
        assert isinstance(relay, FakeRelay)
        relay.mode = "silent"
    snapshot = Snapshot(standing.pools, standing.labels, silent, standing.config)
    assert any("Ready not True" in each for each in differences(snapshot))


def test_an_object_that_waits_for_its_end_is_seen(standing: Snapshot) -> None:
    pool = copy.deepcopy(standing.pools[0])
    pool["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert differences(Snapshot([pool], standing.labels, standing.relays, standing.config)) == [
        "deletion is stuck: voice/p"
    ]


def test_a_selector_beats_age_and_age_beats_the_name() -> None:
    old, older = made("b", "2026-01-02T00:00:00Z"), made("z", "2026-01-01T00:00:00Z")
    young = made("y", "2026-01-03T00:00:00Z", nodeSelector={"zone": "a"})
    found = owners([old, older, young, made("a", "2026-01-02T00:00:00Z")], {"n": {"zone": "a"}, "m": {}})
    assert {node: pool["metadata"]["name"] for node, pool in found.items()} == {"n": "y", "m": "z"}
    assert owners([old, made("a", "2026-01-02T00:00:00Z")], {"m": {}})["m"]["metadata"]["name"] == "a"
