from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from row_slot import MS, PACKET_NS, T0, Slot, after, collect

from rtppool_relay.figures.measurement import MAX_DEPARTURE_ERRORS, MAX_TOGETHER, DepartureErrors, Measurement
from rtppool_relay.streams.stalls import Stalls
from rtppool_relay.streams.steady_clock import SteadyClock


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


def test_a_probe_is_read_between_ticks_while_its_echo_is_not_known_to_answer() -> None:
    slot, measurement = Slot(), Measurement(SteadyClock())
    measurement.add_stream(0, "probe", slot.statistics())

    def read() -> int:
        measurement.collect_probe(after(3, 0), 0)
        return measurement.kinds["probe"].store.total.answered

    assert read() == 0
    slot.row(0)
    assert (read(), measurement.echo.reachable) == (1, True)
    slot.row(1)
    assert read() == 1
    slot.row(2, None)
    assert read() == 2
    slot.row(2)
    assert read() == 2
    collect(measurement, after(3, 0), 0)
    assert measurement.kinds["probe"].store.total.answered == 3


def test_portions_of_nearly_one_size_have_every_stream_once() -> None:
    streams = 2 * MAX_TOGETHER + 1
    slot, measurement = Slot(), Measurement(SteadyClock())
    for number in range(streams):
        measurement.add_stream(number, "calls", slot.statistics())
    portions = list(measurement.portions())
    assert sorted(number for portion in portions for number in portion) == list(range(streams))
    sizes = [len(portion) for portion in portions]
    assert (len(sizes), min(sizes), max(sizes)) == (3, streams // 3, streams // 3 + 1)
    assert list(Measurement(SteadyClock()).portions()) == []


def test_a_portion_leaves_out_a_call_that_has_ended_meanwhile() -> None:
    slot, measurement = Slot(), Measurement(SteadyClock())
    measurement.add_stream(0, "calls", slot.statistics())
    slot.row(0)
    [portion] = measurement.portions()
    measurement.end_stream(0, after(3, 0))
    measurement.collect_portion(portion, after(3, 0))
    measurement.judge_echo(0)
    assert measurement.kinds["calls"].store.total.answered == 1
    assert measurement.echo.reachable


def test_the_stalls_known_at_a_collection_are_the_hosts_share_of_its_packets_and_of_a_calls_last_ones() -> None:
    """Packet 100 waits 10 ms in the relay, of 200 in one collection; packet 210 does, of those left at the end."""
    slot = Slot()
    stalled = [(T0 + number * PACKET_NS, T0 + number * PACKET_NS + 15 * MS) for number in (100, 210)]
    measurement = Measurement(SteadyClock(), lambda: Stalls({0: stalled}))
    measurement.add_stream(0, "calls", slot.statistics())
    for number in range(220):
        slot.row(number, residence_ns=10 * MS if number in (100, 210) else 0, x_cpu=0, y_cpu=0)
        if number == 199:
            collect(measurement, after(200, 0), 0)
    measurement.end_stream(0, after(220, 0))
    total = measurement.kinds["calls"].store.total
    assert (total.late_host, total.late_relay, total.late_judged, total.late_judged_with_host) == (2, 0, 0, 2)
