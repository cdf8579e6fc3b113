"""The operator rejects the specs that the API server rejects: for the same field, with the message of the CEL rule."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from rtppool_core.contract.port_range import REFLECTOR_PORTS
from rtppool_operator.pools import rules as spec_rules
from rtppool_operator.pools.parsing import read_spec
from rtppool_operator.pools.rules import Refusal
from rtppool_operator.pools.spec import PoolSpec

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples/invalid").glob("*.yaml"))
RANGE = {"start": 10000, "end": 10100}


@dataclass(frozen=True, slots=True)
class Example:
    """A rejected object: the API server's message, the field, and the spec."""

    expected: str
    field: str
    spec: Any


def example(path: Path) -> Example:
    first, second, *_ = text.splitlines() if (text := path.read_text()) else []
    assert first.startswith("# Expected: ")
    assert second.startswith("# Field: spec.")
    return Example(first.removeprefix("# Expected: "), second.removeprefix("# Field: "), yaml.safe_load(text)["spec"])


def schema_of_spec(definition: dict[str, Any]) -> dict[str, Any]:
    return dict(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])


def places(schema: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every part of a schema with its place: [] for items, {} for values."""
    yield place, schema
    for name, inner in schema.get("properties", {}).items():
        yield from places(inner, f"{place}.{name}" if place else name)
    if "items" in schema:
        yield from places(schema["items"], f"{place}[]")
    if "additionalProperties" in schema:
        yield from places(schema["additionalProperties"], f"{place}{{}}")


def cel_rules(definition: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for _, part in places(schema_of_spec(definition)) for rule in part.get("x-kubernetes-validations", [])]


def accepted_by(rule: Mapping[str, Any]) -> str:
    """Return the end of a rule's message, which no other rule has."""
    found = re.search(r"; accepted [^']+", rule["messageExpression"])
    assert found is not None
    return found[0]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_invalid_example_is_refused_for_the_field_and_with_the_words_of_the_api_server(
    path: Path, definition: dict[str, Any], schema: Draft4Validator
) -> None:
    refused = example(path)
    said = read_spec(refused.spec, schema)
    assert isinstance(said, Refusal)
    assert said.field == refused.field
    if any(accepted_by(rule) in refused.expected for rule in cel_rules(definition)):
        assert said.message == refused.expected


def test_every_cel_rule_has_an_invalid_example(definition: dict[str, Any]) -> None:
    expected = [example(path).expected for path in EXAMPLES]
    rules = cel_rules(definition)
    assert len({accepted_by(rule) for rule in rules}) == len(rules) > 0
    for rule in rules:
        assert any(accepted_by(rule) in each for each in expected), rule["message"]


BOUNDED: dict[str, Any] = {
    "portRange": {**RANGE},
    "excludedPorts": [10001],
    "echo": {"host": "echo", "port": 4000},
    "advertise": {"source": "Static", "address": "192.0.2.1"},
    "nodeSelector": {"zone": "a"},
    "maxCalls": 1,
    "sla": {"tiers": [{"upToCalls": 1, "p50Microseconds": 1, "p95Microseconds": 1, "p99Microseconds": 1}]},
}


def put(document: Any, place: str, value: Any) -> tuple[Any, str]:
    """Return a copy with a value at a place, and the field as the API server names it."""
    changed = copy.deepcopy(document)
    steps = re.findall(r"[^.\[\]{}]+|\[\]|\{\}", place)
    holder, field = changed, "spec"
    for at, step in enumerate(steps):
        key = {"[]": 0, "{}": "zone"}.get(step, step)
        field += f"[{key}]" if isinstance(key, int) else f".{key}"
        if at == len(steps) - 1:
            holder[key] = value
        elif isinstance(holder, dict):
            holder = holder.setdefault(key, {})
        else:
            holder = holder[key]
    return changed, field


def outside(part: Mapping[str, Any]) -> Iterator[Any]:
    """Yield values of a part's type just outside each of its bounds."""
    if "minimum" in part:
        yield from (part["minimum"] - 1, part["maximum"] + 1)
    if "minLength" in part:
        yield "a" * (part["minLength"] - 1)
    if "maxLength" in part:
        yield "a" * (part["maxLength"] + 1)
    if "maxItems" in part:
        yield [BOUNDED["sla"]["tiers"][0] if part["items"]["type"] == "object" else 10001] * (part["maxItems"] + 1)
    if "maxProperties" in part:
        yield {f"a{at}": "" for at in range(part["maxProperties"] + 1)}
    if "pattern" in part:
        yield "a b"
    if "enum" in part:
        yield "Other"


def test_every_bound_of_the_definition_is_held_for_its_field_with_what_is_accepted(
    definition: dict[str, Any], schema: Draft4Validator
) -> None:
    assert isinstance(read_spec(BOUNDED, schema), PoolSpec)
    tried = 0
    for place, part in places(schema_of_spec(definition)):
        for value in outside(part):
            spec, field = put(BOUNDED, place, value)
            said = read_spec(spec, schema)
            assert isinstance(said, Refusal), (place, value)
            assert said.field == field
            assert re.match(r"[\w.\[\]]+ (is|has) .*; accepted is .", said.message, re.DOTALL), said.message
            tried += 1
    assert tried >= 2 * 18 + 3 + 4 + 1 + 2, "integers, lists and objects, lengths, a pattern, choices"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.portRange: portRange is missing; accepted is an object"),
        ([], "spec: spec is []; accepted is an object"),
        (
            {"portRange": {"start": "10000", "end": 10100}},
            "spec.portRange.start: portRange.start is '10000'; accepted is a whole number from 1024 to 65535",
        ),
        (
            {"portRange": RANGE, "maxCalls": True},
            "spec.maxCalls: maxCalls is True; accepted is a whole number from 1 to 4096",
        ),
        (
            {"portRange": RANGE, "excludedPorts": [10001] * 65},
            "spec.excludedPorts: excludedPorts has 65 entries; accepted is a list of at most 64 entries",
        ),
        (
            {"portRange": RANGE, "advertise": {"source": "Host"}},
            "spec.advertise.source: advertise.source is 'Host'; accepted is one of HostIP, NodeExternalIP, Static",
        ),
        (
            {"portRange": RANGE, "probe": {"enabled": 1}},
            "spec.probe.enabled: probe.enabled is 1; accepted is true or false",
        ),
        (
            {"portRange": RANGE, "nodeSelector": {"a/b": 7}},
            "spec.nodeSelector.a/b: nodeSelector.a/b is 7; accepted is text of 0 to 63 characters",
        ),
    ],
)
def test_a_violation_of_the_schema_has_field_value_and_accepted_values(
    schema: Draft4Validator, spec: Any, said: str
) -> None:
    assert str(read_spec(spec, schema)) == said


def test_an_unknown_field_is_ignored(schema: Draft4Validator) -> None:
    assert isinstance(read_spec({"portRange": {**RANGE, "new": 1}, "newer": {}}, schema), PoolSpec)


def test_the_definition_s_rules_have_the_same_patterns_and_ports(definition: dict[str, Any]) -> None:
    by_end = {accepted_by(rule): rule["rule"] + rule["messageExpression"] for rule in cel_rules(definition)}
    host = by_end["; accepted is a host name or a unicast address"]
    assert f"'{spec_rules.HOST_NAME}'" in host
    assert f"'{spec_rules.ENDS_AS_A_NUMBER}'" in host
    (labels,) = (text for end, text in by_end.items() if "labels" in end)
    assert labels.count(f"'{spec_rules.LABEL_KEY}'") == labels.count(f"'{spec_rules.LABEL_VALUE}'") == 2
    assert labels.count(str(spec_rules.MAX_LABEL_KEY)) == 2
    (reflectors,) = (text for end, text in by_end.items() if "another port" in end)
    lists = re.findall(r"\[([\d, ]+)\]\.filter", reflectors)
    assert len(lists) == 2
    assert all({int(port) for port in each.split(",")} == REFLECTOR_PORTS for each in lists)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.1.1",
        "::1",
        "fe80::1",
        "2001:db8::1",
        "echo",
        "echo.voice.svc.cluster.local",
        "echo.example.com.",
        "1and1.example",
        "my_echo",
        "3com",
    ],
)
def test_a_host_that_can_be_resolved_is_accepted(schema: Draft4Validator, host: str) -> None:
    assert isinstance(read_spec({"portRange": RANGE, "echo": {"host": host}}, schema), PoolSpec)


@pytest.mark.parametrize(
    "host",
    [
        "..",
        ".",
        "a..b",
        "-echo",
        "echo-",
        "300.1.1.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.",
        "echo.1",
        "a:b",
        "::ffff:127.0.0.1",
        "::",
        "255.255.255.255",
        "ff02::1",
        "127.0.0.1\n",
        f"{'a' * 64}.example",
    ],
)
def test_a_host_that_can_be_no_host_is_refused(schema: Draft4Validator, host: str) -> None:
    said = read_spec({"portRange": RANGE, "echo": {"host": host}}, schema)
    assert isinstance(said, Refusal)
    assert said.field == "spec.echo.host"


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "127.0.0.1"])
def test_a_static_address_of_one_host_is_accepted(schema: Draft4Validator, address: str) -> None:
    spec = {"portRange": RANGE, "advertise": {"source": "Static", "address": address}}
    assert isinstance(read_spec(spec, schema), PoolSpec)


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "fe80::1%eth0", "::ffff:1.2.3.4", "192.0.2.01", "", "x"])
def test_a_static_address_that_is_none_of_one_host_is_refused(schema: Draft4Validator, address: str) -> None:
    said = read_spec({"portRange": RANGE, "advertise": {"source": "Static", "address": address}}, schema)
    assert isinstance(said, Refusal)
    assert said.field == "spec.advertise.address"


@given(
    start=st.integers(1024, 12_000),
    size=st.integers(1, 40),
    excluded=st.lists(st.integers(1024, 12_040), max_size=8, unique=True),
)
def test_a_range_is_accepted_exactly_when_it_has_a_port_for_calls(
    schema: Draft4Validator, start: int, size: int, excluded: list[int]
) -> None:
    ports = range(start, start + size)
    spec = {"portRange": {"start": start, "end": ports[-1]}, "excludedPorts": excluded, "echo": {"port": 20_000}}
    left = set(ports) - set(excluded) - REFLECTOR_PORTS
    assert isinstance(read_spec(spec, schema), PoolSpec) == (bool(left) and set(excluded) <= set(ports))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "portRange",
    "excludedPorts",
    "echo",
    "advertise",
    "nodeSelector",
    "sla",
    "media",
    "probe",
    "drain",
    "maxCalls",
]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON)
def test_whatever_stands_in_a_spec_is_read_or_refused_with_its_field(schema: Draft4Validator, document: Any) -> None:
    said = read_spec(document, schema)
    assert isinstance(said, PoolSpec) or said.field.startswith("spec")
