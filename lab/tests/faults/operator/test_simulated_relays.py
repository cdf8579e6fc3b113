"""The reports of simulated relays pass the operator's parser, histograms included."""

from __future__ import annotations

import json
import random

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace

from lab.faults.operator.relays.fake_relays import GARBAGE
from lab.faults.operator.relays.mounted_file import entry_of_node
from lab.faults.operator.relays.relay_report import Situation, rendered, rendered_as_older, report_of
from lab.faults.operator.runs.faults import HAND_WRITTEN
from rtppool_core.contract.codec import ContractError, to_json
from rtppool_core.contract.pools_file import NodeAssignment, PoolEntry, PoolsDocument, decode_for_node, encode
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import Report
from rtppool_operator.relays.reports import read_report

ENTRY = PoolEntry("p", "voice", "uid", 3, (), PortRange(10000, 10010))


def report(entry: PoolEntry | None = ENTRY, calls: int = 0) -> Report:
    return report_of(Situation("pod", "node", entry, calls), random.Random(1), 1_700_000_000)


@pytest.mark.parametrize("calls", [0, 5])
@pytest.mark.parametrize("entry", [None, ENTRY])
def test_a_report_holds_to_the_contract(entry: PoolEntry | None, calls: int) -> None:
    jsonschema.validate(to_json(report(entry, calls)), msgspec.json.schema(Report))
    assert read_report(rendered(report(entry, calls))) == report(entry, calls)


def test_an_older_relay_s_report_is_read_as_well() -> None:
    older = read_report(rendered_as_older(report()))
    assert (older.pool, older.applied_generation) == (report().pool, 3)


def test_a_report_is_as_large_as_a_real_one() -> None:
    assert 3_000 < len(rendered(report())) < 30_000


@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises((ContractError, ValueError, RecursionError)):
        read_report(body)


@pytest.mark.parametrize("calls", [0, 5])
@pytest.mark.parametrize("reachable", [True, False])
def test_a_body_is_the_contract_s_json(calls: int, reachable: bool) -> None:
    made = report_of(Situation("pod", "node", ENTRY, calls, reachable, '{"no":null,'), random.Random(1), 1_700_000_000)
    assert json.loads(rendered(made)) == to_json(made)


def test_a_node_s_entry_is_the_one_that_the_product_reads() -> None:
    first = PoolEntry("a", "voice", "uid-a", 3, (NodeAssignment("x"), NodeAssignment("y")), PortRange(10000, 10010))
    second = replace(first, name="b", nodes=(NodeAssignment("y"), NodeAssignment("z")))
    for pools in ((first, second), (second, first), (first, replace(second, nodes=(NodeAssignment("z", "host"),)))):
        text = encode(PoolsDocument(pools))
        for node in ("x", "y", "z"):
            wanted = decode_for_node(text, node)
            assert wanted is not None
            assert entry_of_node(text, node) == replace(wanted, nodes=())
        assert entry_of_node(text, "elsewhere") is None


@pytest.mark.parametrize("text", HAND_WRITTEN)
def test_a_mistake_in_the_file_is_the_one_that_the_product_finds(text: str) -> None:
    outcomes = []
    for read in (decode_for_node, entry_of_node):
        try:
            outcomes.append(str(read(text, "node")))
        except ContractError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
