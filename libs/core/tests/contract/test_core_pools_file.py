from __future__ import annotations

import json
from typing import Any

import pytest

from rtppool_core.contract.codec import ContractError, to_json
from rtppool_core.contract.pools_file import (
    DEFAULT_TIERS,
    EchoTarget,
    NodeAssignment,
    PoolEntry,
    PoolsDocument,
    decode_for_node,
    encode,
)
from rtppool_core.contract.port_range import PortRange

MINE: dict[str, Any] = {
    "name": "default",
    "namespace": "voice",
    "uid": "u-1",
    "generation": 3,
    "nodes": [{"name": "other"}, {"name": "mine", "advertiseAddress": "192.0.2.1"}],
    "portRange": {"start": 10000, "end": 10100},
}

LABELS = "each part between dots has 1 to 63 letters, digits or hyphens"


def document(*pools: Any, version: Any = 1) -> str:
    return json.dumps({"version": version, "pools": list(pools)})


def test_a_relay_takes_the_pool_that_lists_its_node() -> None:
    another = {**MINE, "name": "second", "nodes": [{"name": "elsewhere"}]}
    entry = decode_for_node(document(another, MINE), "mine")
    assert entry is not None
    assert (entry.name, entry.generation, entry.port_range) == ("default", 3, PortRange(10000, 10100))
    assert entry.node("mine") == NodeAssignment("mine", "192.0.2.1")
    assert entry.node("other") == NodeAssignment("other", None)
    assert entry.node("unknown") is None


def test_what_a_pool_leaves_out_has_the_documented_default() -> None:
    entry = decode_for_node(document(MINE), "mine")
    assert entry is not None
    assert entry.echo == EchoTarget("127.0.0.1", 4000, extension=False)
    assert (entry.reuse_delay_seconds, entry.max_calls, entry.excluded_ports) == (5, None, ())
    assert entry.sla.tiers == DEFAULT_TIERS
    assert (entry.sla.window_seconds, entry.sla.min_samples) == (60, 1000)
    assert (entry.probe.enabled, entry.probe.interval_seconds, entry.drain.timeout_seconds) == (True, 1, 3600)


def test_a_node_without_a_pool_has_none() -> None:
    assert decode_for_node(document(MINE), "stranger") is None
    assert decode_for_node(document(), "mine") is None


@pytest.mark.parametrize(
    "broken", [7, {}, {"nodes": 3}, {"nodes": [4]}, {**MINE, "nodes": [{"name": "x"}], "portRange": 1}]
)
def test_a_mistake_in_another_pool_stops_nobody(broken: Any) -> None:
    assert decode_for_node(document(broken, MINE), "mine") is not None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "pools.json is not JSON: "),
        ("{", "pools.json is not JSON: "),
        ("[" * 100_000, "pools.json is not JSON: "),
        ("[]", "pools.json: version is None; accepted is 1"),
        ("{}", "pools.json: version is None; accepted is 1"),
        (document(MINE, version=2), "pools.json: version is 2; accepted is 1"),
        ('{"version": 1}', "pools.json: pools is missing; accepted is a list"),
        ('{"version": 1, "pools": {}}', "pools.json: pools is missing; accepted is a list"),
    ],
)
def test_an_envelope_that_is_none_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_for_node(text, "mine")
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"echo": {"port": "4000"}}, "pools[1].echo.port: '4000'; accepted is a whole number"),
        ({"echo": {"port": 70000}}, "pools[1].echo: echo.port is 70000; accepted is 1 to 65535"),
        ({"echo": {"extension": 1}}, "pools[1].echo.extension: 1; accepted is true or false"),
        ({"echo": {"host": ""}}, "pools[1].echo: echo.host is empty; accepted is a host name or an address"),
        (
            {"echo": {"host": "a..b"}},
            "pools[1]: echo.host is 'a..b'; accepted is a host name or an address: " + LABELS,
        ),
        (
            {"echo": {"port": 10050}},
            "pools[1]: echo.port is 10050, inside portRange 10000-10100; accepted is a port outside it",
        ),
        (
            {"portRange": {"start": 10100, "end": 10000}},
            "pools[1].portRange: 10100-10000 is no port range; accepted is",
        ),
        ({"media": {"format": "opus"}}, "pools[1].media.format: 'opus'; accepted is one of alaw, slin16, ulaw"),
        ({"sla": {"tiers": [{"upToCalls": 5}]}}, "pools[1].sla.tiers[0].p50Microseconds is missing"),
    ],
)
def test_a_mistake_in_the_own_pool_is_said_with_its_place(change: dict[str, Any], sentence: str) -> None:
    another = {**MINE, "nodes": []}
    with pytest.raises(ContractError) as caught:
        decode_for_node(document(another, {**MINE, **change}), "mine")
    assert str(caught.value).startswith(sentence)


def test_what_the_operator_writes_a_relay_reads() -> None:
    entry = PoolEntry(
        name="p",
        namespace="n",
        uid="u",
        generation=9,
        nodes=(NodeAssignment("mine"),),
        port_range=PortRange(20000, 20009),
        excluded_ports=(20003,),
        echo=EchoTarget("2001:db8::1", 5000),
        max_calls=5,
    )
    assert decode_for_node(json.dumps(to_json(PoolsDocument((entry,)))), "mine") == entry
    assert str(entry.echo) == "[2001:db8::1]:5000"


def test_an_advertised_address_that_cannot_be_encoded_rejects_the_entry_of_its_own_node_alone() -> None:
    nodes = (NodeAssignment("one", "a..b"), NodeAssignment("two", "192.0.2.2"))
    text = encode(PoolsDocument((PoolEntry("p", "n", "u", 1, nodes, PortRange(10000, 10100)),)))
    with pytest.raises(ContractError, match=r"advertiseAddress of node one is 'a\.\.b'"):
        decode_for_node(text, "one")
    assert decode_for_node(text, "two") is not None
