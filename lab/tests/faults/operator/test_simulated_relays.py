"""The reports of simulated relays pass the operator's parser, histograms included."""

from __future__ import annotations

import random

import jsonschema
import msgspec
import pytest

from lab.faults.operator.relays.fake_relays import GARBAGE
from lab.faults.operator.relays.relay_report import Situation, rendered, rendered_as_older, report_of
from rtppool_core.contract.codec import ContractError, to_json
from rtppool_core.contract.pools_file import PoolEntry
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import Report
from rtppool_operator.relays.polling import read_report

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
