from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.figures.measurement import MAX_DEPARTURE_ERRORS, DepartureErrors


def test_before_the_first_stamp_there_is_no_figure() -> None:
    assert DepartureErrors().report() is None


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=3 * MAX_DEPARTURE_ERRORS))
def test_quantiles_are_the_nearest_ranks_of_the_latest_errors(values: list[int]) -> None:
    errors = DepartureErrors()
    errors.add(np.array(values, np.int64))
    kept = sorted(values[-MAX_DEPARTURE_ERRORS:])
    report = errors.report()
    assert report is not None
    assert report.samples == len(kept)
    assert report.p50_ns == kept[math.ceil(0.5 * len(kept)) - 1]
    assert report.p99_ns == kept[math.ceil(0.99 * len(kept)) - 1]
    assert report.max_ns == kept[-1]
