from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rtppool_core.contract.codec import ContractError, from_json, to_json
from rtppool_core.contract.report import BurstsReport, HistogramExport, export_bursts, import_bursts, import_histogram
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.histogram import SchemeError


def test_a_histogram_of_another_scheme_is_refused_by_name() -> None:
    with pytest.raises(SchemeError, match="histogram scheme 'other'; accepted is loglinear64-1us-60s"):
        import_histogram(HistogramExport(((1, 1),), 1100, 1100, scheme="other"))


COUNTS = st.builds(BurstCounts, **{each.name: st.integers(0, 1 << 40) for each in fields(BurstCounts)})


@given(COUNTS, st.integers(1, 1 << 41))
def test_bursts_are_imported_as_they_were_with_what_they_come_to(counts: BurstCounts, expected: int) -> None:
    export = export_bursts(counts, expected)
    assert export is not None
    assert import_bursts(export) == counts
    assert (export.burst_density, export.gap_density) == (counts.burst_density(), counts.gap_density(expected))


def test_without_packets_there_are_no_bursts() -> None:
    assert export_bursts(BurstCounts(), 0) is None


@pytest.mark.parametrize("count", [-1, 1 << 63])
def test_a_count_of_bursts_that_can_not_be_is_refused(count: int) -> None:
    export = export_bursts(BurstCounts(), 1)
    assert export is not None
    with pytest.raises(ContractError, match=f"burstNs: {count}; accepted is a whole number from 0 to"):
        from_json(BurstsReport, to_json(replace(export, burst_ns=count)))
