from __future__ import annotations

import pytest

from rtppool_core.host.figures import HostFigures
from rtppool_core.units import NS_PER_MS, NS_PER_SECOND
from rtppool_relay.figures.host_time import (
    HostTime,
    echo_witness,
    host_report,
    late_in_host_seconds,
    seconds_with_host_time,
)
from rtppool_relay.streams.slices import SLICE_CLOSES_AFTER_SECONDS, Slice, SliceStore

WINDOW = 60
NOW_NS = (1_000 + SLICE_CLOSES_AFTER_SECONDS - 1) * NS_PER_SECOND  # the window ends with second 999
QUIET = HostFigures(
    capacity_ns=2 * NS_PER_SECOND, stolen_ns=0, run_delay_ns=5 * NS_PER_MS, throttled_ns=0, stalled_ns={0: 0, 1: 0}
)


def late(**causes: int) -> Slice:
    part = Slice(packets=1000, answered=1000, **{f"late_{cause}": number for cause, number in causes.items()})
    part.source_variation.record(NS_PER_MS)
    return part


@pytest.mark.parametrize(
    "taken",
    [
        HostFigures(stolen_ns=10 * NS_PER_MS),
        HostFigures(throttled_ns=1),
        HostFigures(stalled_ns={0: 0, 1: 4 * NS_PER_MS}),
        HostFigures(run_delay_ns=20 * NS_PER_MS),
    ],
)
def test_every_witness_shows_a_second_with_host_time(taken: HostFigures) -> None:
    by_second = dict.fromkeys(range(10), QUIET) | {5: taken}
    assert seconds_with_host_time(by_second) == {5}


def test_a_quiet_second_has_none() -> None:
    assert seconds_with_host_time(dict.fromkeys(range(10), QUIET)) == set()


def test_waits_of_a_busy_process_are_usual_and_a_tenth_of_the_time_never_is() -> None:
    busy = dict.fromkeys(range(10), HostFigures(run_delay_ns=40 * NS_PER_MS))
    assert seconds_with_host_time(busy) == set()
    starved = dict.fromkeys(range(10), HostFigures(run_delay_ns=400 * NS_PER_MS))
    assert seconds_with_host_time(starved) == set(range(10))


def test_late_packets_are_counted_in_the_seconds_in_which_they_were_sent() -> None:
    slices = [(1, late(relay=3, echo=2, source=9)), (2, late(relay=5)), (3, late(host=4, relay=1))]
    by_second = {1: HostFigures(stolen_ns=NS_PER_MS), 2: QUIET, 3: QUIET}
    # Of second 3 the packets with the cause host alone: each lies in a stall.
    assert late_in_host_seconds(slices, by_second) == 5 + 4


def test_the_report_adds_up_the_seconds_of_the_window_of_calls_and_no_other() -> None:
    host, calls = HostTime(), SliceStore(WINDOW)
    stolen = HostFigures(capacity_ns=2 * NS_PER_SECOND, stolen_ns=50 * NS_PER_MS, stalled_ns={0: NS_PER_MS, 1: 1})
    for second in range(930, 1_005):
        host.add(second, stolen, {"throttling": "no CPU limit", "runDelay": "no schedstat", "pressure": "no file"})
        calls.add(second, late(relay=1))
    report = host_report(host, calls, NOW_NS, WINDOW)
    assert report is not None
    assert (report.window_seconds, report.cpu_seconds, report.stolen_milliseconds) == (60, 120.0, 3_000)
    assert (report.run_delay_milliseconds, report.throttled_milliseconds) == (None, None)
    assert report.heartbeat_late_milliseconds == 61
    assert (report.late_packets, report.late_in_host_seconds) == (60, 60)
    assert {each.name: each.reason for each in report.witnesses} == {
        "heartbeat": None,
        "steal": None,
        "runDelay": "no schedstat",
        "throttling": "no CPU limit",
        "pressure": "no file",
    }
    assert host.total.stolen_ns == 75 * 50 * NS_PER_MS


def test_before_a_witness_was_read_there_is_no_report() -> None:
    assert host_report(HostTime(), SliceStore(WINDOW), NOW_NS, WINDOW) is None


def test_without_a_packet_that_could_be_judged_no_late_packet_is_counted() -> None:
    host = HostTime()
    host.add(999, QUIET, {})
    report = host_report(host, SliceStore(WINDOW), NOW_NS, WINDOW)
    assert report is not None
    assert (report.late_packets, report.late_in_host_seconds, report.echo) == (None, None, None)


def test_seconds_outside_the_window_are_forgotten() -> None:
    host = HostTime(10)
    for second in range(1_000):
        host.add(second, QUIET, {})
    assert len(host.between(0, 1_000)) == 10 + SLICE_CLOSES_AFTER_SECONDS + 1


@pytest.mark.parametrize(
    ("figures", "witness"),
    [
        (Slice(), None),
        (Slice(answered=5), "ThisMachine"),
        (Slice(answered=5, echo_host_reported=5), "Reported"),
        (Slice(answered=5, echo_host_reported=4, echo_host_unreported=1), "NotReported"),
    ],
)
def test_the_echo_s_witness_follows_from_its_answers(figures: Slice, witness: str | None) -> None:
    assert echo_witness(figures) == witness
