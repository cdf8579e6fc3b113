"""The chart refuses the default pools that the API server refuses, with the same sentences.

The examples below examples/invalid break one rule each. lab/tests/faults/on_api_server sends them to an API server.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_objects import spec_schema_of

from rtppool_core.contract.port_range import REFLECTOR_PORTS
from rtppool_operator.pools.parsing import read_spec
from rtppool_operator.pools.rules import RULES, Refusal

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "charts/rtp-pool/templates/refusals"
INVALID = sorted((ROOT / "examples/invalid").glob("*.yaml"))
VALID = sorted((ROOT / "examples/valid").glob("*.yaml"))
# The chart's values for the fields of a spec that have values of their own.
OWN = {"portRange": "portRange", "echo.host": "relay.echo.host", "echo.port": "relay.echo.port"}


def values_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the chart's values for a spec."""
    rest = {name: held for name, held in spec.items() if name not in {"portRange", "echo"}}
    echo = spec.get("echo", {})
    # A null takes the chart's default away.
    own: dict[str, Any] = {"portRange": {"start": None, "end": None, **spec.get("portRange", {})}}
    own |= {f"relay.echo.{name}": held for name, held in echo.items()}
    if echo.get("host") in {None, "127.0.0.1"} and isinstance(echo.get("port"), int) and echo["port"]:
        own["echo.port"] = echo["port"]
    timeout = rest.get("drain", {}).get("timeoutSeconds", 0)
    return {**own, "defaultPool.spec": rest, "relay.terminationGracePeriodSeconds": max(3615, timeout + 15)}


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_an_invalid_spec_is_refused_before_anything_is_installed(try_to_render: Any, file: Path) -> None:
    spec = yaml.safe_load(file.read_text())["spec"]
    done = try_to_render(values_of(spec))
    assert done.returncode != 0, done.stdout
    refusal = read_spec(spec, spec_schema_of(ROOT))
    field = re.match(r"# .*\n# Field: spec[.]([A-Za-z0-9.]+)", file.read_text())
    assert field is not None
    names = (*field[1].split("."), OWN.get(field[1], field[1]))
    sentence = refusal.message if isinstance(refusal, Refusal) else names[-1]
    assert sentence in done.stderr or any(name in done.stderr for name in names), done.stderr


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_valid_spec_is_accepted(try_to_render: Any, file: Path) -> None:
    done = try_to_render(values_of(yaml.safe_load(file.read_text())["spec"]))
    assert done.returncode == 0, done.stderr


TIER = {"upToCalls": 5, "p50Microseconds": 1, "p95Microseconds": 2, "p99Microseconds": 3}
# One spec for each rule of the operator, which are those of the CRD. The port of the echo has tests of its own.
BROKEN: dict[str, dict[str, Any]] = {
    "_echo_host": {"echo": {"host": "300.1.1.1"}},
    "_excluded_inside_range": {"excludedPorts": [9999, 10101]},
    "_excluded_leave_a_port": {"portRange": {"start": 10000, "end": 10001}, "excludedPorts": [10000, 10001]},
    "_a_port_is_answered": {"portRange": {"start": 11211, "end": 11212}, "excludedPorts": [11212]},
    "_advertise_fits": {"advertise": {"source": "Static"}},
    "_advertise_address": {"advertise": {"source": "Static", "address": "224.0.0.1"}},
    "_node_labels": {"nodeSelector": {"a b": "c", "d": "e f"}},
    "_tiers_once": {"sla": {"tiers": [TIER, TIER]}},
    "_tiers_ascend": {"sla": {"tiers": [{**TIER, "p95Microseconds": 4}]}},
}
BY_THE_SCHEMA = {"_excluded_once"}


def test_every_rule_of_the_operator_has_a_spec_that_breaks_it() -> None:
    assert {rule.__name__ for rule in RULES} == {*BROKEN, *BY_THE_SCHEMA, "_echo_outside_range"}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_over_several_fields_has_the_sentence_of_the_api_server(try_to_render: Any, rule: str) -> None:
    spec = {"portRange": {"start": 10000, "end": 10100}, **BROKEN[rule]}
    refusal = read_spec({"echo": {"host": "127.0.0.1", "port": 4000}, **spec}, spec_schema_of(ROOT))
    assert isinstance(refusal, Refusal)
    done = try_to_render(values_of(spec))
    assert done.returncode != 0
    assert refusal.message in done.stderr


def test_the_ports_that_no_echo_answers_are_those_of_the_relay() -> None:
    (listed,) = re.findall(r"range list ((?:\d+ ?)+)", (TEMPLATES / "_pool.tpl").read_text())
    assert set(map(int, listed.split())) == REFLECTOR_PORTS
