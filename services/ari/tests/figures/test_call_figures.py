from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_relay.figures.call_figures import call_figures
from rtppool_relay.figures.sla import judge
from rtppool_relay.streams.slices import Slice


@given(st.lists(st.integers(1_000_000, 40_000_000), min_size=1, max_size=50))
def test_a_round_trip_of_a_call_is_the_one_that_was_judged(times_ns: list[int]) -> None:
    total = Slice(packets=len(times_ns), answered=len(times_ns))
    for time_ns in times_ns:
        total.round_trip.record(time_ns)
    verdict = judge(total, 1, SlaLimits())
    judged = {check.limit: check.measured for check in verdict.checks}
    figures = call_figures(total, verdict.report)
    assert figures.p50_microseconds == judged["p50Microseconds"]
    assert figures.p95_microseconds == judged["p95Microseconds"]
    assert figures.p99_microseconds == judged["p99Microseconds"]
    assert figures.max_microseconds == judged["maxRttMicroseconds"]
